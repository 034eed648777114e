"""Signs lanyard, secret-tool and gh in, times each in turn, and prints a table. Started by `tests/bench/run`."""
import os
import shutil
import statistics
import subprocess
import sys
import time

CONFIG = """\
profile = "bench"
[defaults]
storage = "keychain"
[profiles.bench]
service = "bench"
endpoint = "http://127.0.0.1:9"
[services.bench]
endpoint = "http://127.0.0.1:9"
[services.bench.api]
whoami = "/v1/me"
account = "/email"
"""
# As long as tokens of real services are.
TOKEN = "bench-token-" + "0123456789abcdef" * 6


def main():
    binary, rounds, work = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    environment = sign_in(binary, work)
    commands = {
        "lanyard --version": [binary, "--version"],
        "lanyard auth token": [binary, "auth", "token"],
        "secret-tool lookup": ["secret-tool", "lookup", "service", "bench-peer", "username", "bench"],
    }
    if shutil.which("gh"):
        commands |= {"gh --version": ["gh", "--version"], "gh auth token": ["gh", "auth", "token"]}
    for name, command in commands.items():
        check(name, command, environment)
    times = measure(commands, environment, rounds)
    report(binary, times, {name: peak(command, environment) for name, command in commands.items()})


def sign_in(binary, work):
    """A fresh home with one token in each of the three places. Returns the environment for all commands."""
    config = os.path.join(work, "lanyard")
    os.makedirs(config, mode=0o700)
    with open(os.open(os.path.join(config, "config.toml"), os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write(CONFIG)
    kept = ("PATH", "HOME", "XDG_RUNTIME_DIR", "XDG_DATA_HOME", "DBUS_SESSION_BUS_ADDRESS", "LANG")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment |= {"LANYARD_CONFIG_DIR": config, "GH_CONFIG_DIR": os.path.join(work, "gh"), "GH_NO_UPDATE_NOTIFIER": "1"}

    login = [binary, "auth", "login", "--profile", "bench", "--with-token", "--no-verify"]
    feed(login, TOKEN + "\n", environment)
    # secret-tool reads an item of the same size as lanyard's.
    held = subprocess.run(["secret-tool", "lookup", "service", "lanyard"],
                          env=environment, capture_output=True, text=True).stdout
    feed(["secret-tool", "store", "--label=bench", "service", "bench-peer", "username", "bench"], held or TOKEN, environment)
    os.makedirs(environment["GH_CONFIG_DIR"])
    with open(os.path.join(environment["GH_CONFIG_DIR"], "hosts.yml"), "w") as file:
        file.write(f"github.com:\n    oauth_token: {TOKEN}\n    user: bench\n    git_protocol: https\n")
    return environment


def feed(command, text, environment):
    outcome = subprocess.run(command, input=text, text=True, env=environment, capture_output=True)
    if outcome.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {outcome.returncode}: {outcome.stderr}")


def check(name, command, environment):
    outcome = subprocess.run(command, env=environment, capture_output=True, text=True)
    if outcome.returncode != 0 or ("token" in name and TOKEN not in outcome.stdout):
        sys.exit(f"{name} does not work here, so there is nothing to time: {outcome.stderr}")


def measure(commands, environment, rounds):
    times = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            started = time.perf_counter()
            subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            times[name].append((time.perf_counter() - started) * 1000)
    return {name: statistics.median(values) for name, values in times.items()}


def peak(command, environment):
    """The most memory that the command held at once, in MB, by GNU time (a child of Python would start with Python's)."""
    outcome = subprocess.run(["/usr/bin/time", "-f", "%M", *command], env=environment, capture_output=True, text=True)
    return int(outcome.stderr.split()[-1]) / 1024


def report(binary, times, peaks):
    print(f"\n{'command':<22}{'median':>10}{'peak memory':>14}")
    for name, median in times.items():
        print(f"{name:<22}{median:>7.2f} ms{peaks[name]:>11.1f} MB")

    size = os.path.getsize(binary) / 1e6
    most = max(peaks["lanyard --version"], peaks["lanyard auth token"])
    figures = [("auth token / secret-tool lookup", times["lanyard auth token"] / times["secret-tool lookup"], 0.9, "x")]
    if "gh --version" in times:
        figures += [("--version / gh --version", times["lanyard --version"] / times["gh --version"], 0.2, "x"),
                    ("auth token / gh auth token", times["lanyard auth token"] / times["gh auth token"], 1.0, "x")]
    figures += [("peak memory", most, 15, "MB"), ("size of the binary", size, 12, "MB")]
    print(f"\n{'figure':<34}{'measured':>12}{'target':>12}")
    for name, value, target, unit in figures:
        verdict = "" if value <= target else "   missed"
        print(f"{name:<34}{value:>9.2f} {unit:<2}{'<= ' + str(target):>9} {unit:<2}{verdict}")


if __name__ == "__main__":
    main()
