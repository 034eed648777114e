"""Times `lanyard credentials scan` against `gitleaks dir` on one and the same tree of files, which it makes.

    python3 tests/bench/scan.py LANYARD GITLEAKS ROUNDS FOLDER [FILES] [MEGABYTES]

Both are run in turn, so that a busy machine slows both alike. Secrets are planted, and both must find them.
"""
import json
import os
import random
import statistics
import string
import subprocess
import sys
import time

WORDS = ("value request response config user path error result data index buffer return import const function class "
         "struct match async await static string number list table width height color render handler event state "
         "module export default test suite expect before after cache queue worker thread socket header body query "
         "order price total invoice address city country name title label button input output file line column").split()
# What makes a scanner look closer stands in some lines of every code base, and in most of them harmlessly.
SUSPECT = "token secret key password auth credential api".split()


def main():
    lanyard, gitleaks, rounds, folder = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    files = int(sys.argv[5]) if len(sys.argv) > 5 else 20_000
    megabytes = int(sys.argv[6]) if len(sys.argv) > 6 else 200
    tree, home = os.path.join(folder, "tree"), os.path.join(folder, "home")
    os.makedirs(home)
    planted = plant(tree, files, megabytes)
    environment = {"PATH": os.environ["PATH"], "HOME": home}
    report = os.path.join(folder, "gitleaks.json")
    commands = {
        "lanyard": [lanyard, "credentials", "scan", "--json", tree],
        "gitleaks": [gitleaks, "dir", tree, "--no-banner", "--exit-code", "0", "--log-level", "error",
                     "--report-path", report, "--report-format", "json"],
    }
    found = {
        "lanyard": lambda out: {place["path"] for finding in json.loads(out)["findings"] for place in finding["places"]},
        "gitleaks": lambda _: {finding["File"] for finding in json.load(open(report))},
    }
    for name, command in commands.items():
        outcome = subprocess.run(command, env=environment, capture_output=True, text=True)
        missed = planted - {os.path.realpath(path) for path in found[name](outcome.stdout)}
        if outcome.returncode != 0 or missed:
            sys.exit(f"{name} missed {len(missed)} of {len(planted)}: {sorted(missed)[:3]} {outcome.stderr[-400:]}")
    times, processor = {name: [] for name in commands}, {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            before, started = os.times(), time.perf_counter()
            subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            after = os.times()
            times[name].append(time.perf_counter() - started)
            used = after.children_user + after.children_system - before.children_user - before.children_system
            processor[name].append(used)
    print(f"\n{files} files, {megabytes} MB, {len(planted)} planted tokens, {os.cpu_count()} cores, {rounds} rounds")
    print(f"{'command':<24}{'median':>10}{'processor':>14}")
    for name in commands:
        print(f"{name:<24}{statistics.median(times[name]):>8.2f} s{statistics.median(processor[name]):>12.2f} s")
    ratio = statistics.median(times["lanyard"]) / statistics.median(times["gitleaks"])
    verdict = "" if ratio <= 1 else "   missed"
    print(f"\n{'figure':<34}{'measured':>12}{'target':>12}")
    print(f"{'scan / gitleaks dir':<34}{ratio:>9.2f} x {'<= 1.0':>9} x {verdict}")


def plant(tree, files, megabytes):
    """A tree of source, data, logs and binary files; a file in 200 holds a token. Returns the paths of those."""
    chance = random.Random(8)
    size = megabytes * 1_000_000 // files
    sources = [source(chance) for _ in range(2000)]
    planted = set()
    for number in range(files):
        folder = os.path.join(tree, f"project{number % 40}", f"module{number // 40 % 25}")
        os.makedirs(folder, exist_ok=True)
        length = max(200, min(int(chance.expovariate(1 / size)), 900_000))
        sort = chance.random()
        if sort < 0.08:
            name, content = "image.bin", b"\0\1" + chance.randbytes(length)
        elif sort < 0.2:
            name, content = "data.json", lines(chance, sources, length, '{{"id": {0}, "text": "{1}"}}')
        elif sort < 0.3:
            name, content = "run.log", lines(chance, sources, length, "2026-01-01T00:00:00Z INFO {0} {1}")
        else:
            name, content = "code.ts", lines(chance, sources, length, "  const v{0} = {1};")
        path = os.path.join(folder, f"{number}-{name}")
        if number % 200 == 7 and not name.endswith(".bin"):
            token = "ghp_" + "".join(chance.choices(string.ascii_letters + string.digits, k=36))
            content += f'\nconst token = "{token}";\n'.encode()
            planted.add(os.path.realpath(path))
        with open(path, "wb") as file:
            file.write(content)
    return planted


def source(chance):
    words = chance.choices(WORDS, k=12)
    if chance.random() < 0.05:
        words[chance.randrange(12)] = chance.choice(SUSPECT)
    if chance.random() < 0.05:
        words.append("%032x" % chance.getrandbits(128))
    return " ".join(words)


def lines(chance, sources, length, form):
    text, total = [], 0
    while total < length:
        line = form.format(chance.randrange(10_000), chance.choice(sources)) + "\n"
        text.append(line)
        total += len(line)
    return "".join(text).encode()


if __name__ == "__main__":
    main()
