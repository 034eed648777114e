"""Times a helper that the agent answers, beside `secret-tool lookup` and the same helper without the agent.

    python3 tests/bench/agent.py LANYARD ROUNDS FOLDER

Runs on the private bus of `with-keyring.sh`: the vault's root key is an item of that keychain, and secret-tool looks up
an item there. All commands are timed in turn in one run.
"""
import os
import statistics
import subprocess
import sys
import time

QUESTION = b"protocol=https\nhost=git.example.com\n\n"
TOKEN = "bench-token-" + "0123456789abcdef" * 2


def main():
    binary, rounds, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    os.makedirs(folder, mode=0o700)
    kept = ("PATH", "HOME", "XDG_RUNTIME_DIR", "XDG_DATA_HOME", "DBUS_SESSION_BUS_ADDRESS", "LANG")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment |= {"LANYARD_CONFIG_DIR": folder}
    store = [binary, "credentials", "store", "git", "git.example.com", "--username", "alice", "--token", "-", "--no-verify"]
    feed(store, TOKEN, environment)
    feed(["secret-tool", "store", "--label=bench", "service", "bench-agent", "username", "bench"], TOKEN, environment)
    question = os.path.join(folder, "question")
    with open(question, "wb") as file:
        file.write(QUESTION)

    # Another home without an agent: the same vault would have one.
    alone = environment | {"XDG_RUNTIME_DIR": folder}
    helper = [binary, "helper", "git", "get"]
    commands = {
        "/bin/true": (["/bin/true"], environment),
        "helper, through the agent": (helper, environment),
        "helper, on its own": (helper, alone),
        "secret-tool lookup": (["secret-tool", "lookup", "service", "bench-agent", "username", "bench"], environment),
    }
    feed([binary, "agent", "start", "--timeout", "1h"], "", environment)
    try:
        for command, surroundings in list(commands.values())[1:]:
            shown = run(command, surroundings, question, subprocess.PIPE).stdout.decode()
            if TOKEN not in shown:
                sys.exit(f"{' '.join(command)} gives no token, so there is nothing to time")
        times = {name: [] for name in commands}
        for _ in range(rounds):
            for name, (command, surroundings) in commands.items():
                started = time.perf_counter()
                run(command, surroundings, question, subprocess.DEVNULL)
                times[name].append((time.perf_counter() - started) * 1000)
    finally:
        subprocess.run([binary, "agent", "stop"], env=environment, capture_output=True)
    report({name: statistics.median(values) for name, values in times.items()}, rounds)


def run(command, environment, question, stdout):
    with open(question, "rb") as file:
        return subprocess.run(command, env=environment, stdin=file, stdout=stdout, stderr=subprocess.DEVNULL)


def feed(command, text, environment):
    outcome = subprocess.run(command, input=text, text=True, env=environment, capture_output=True)
    if outcome.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {outcome.returncode}: {outcome.stderr}")


def report(medians, rounds):
    print(f"\nthe agent, {rounds} rounds\n{'command':<34}{'measured':>12}")
    for name, median in medians.items():
        print(f"{name:<34}{median:>9.2f} ms")
    ratio = medians["helper, through the agent"] / medians["secret-tool lookup"]
    verdict = "" if ratio <= 0.25 else "   missed"
    print(f"{'through the agent / secret-tool':<34}{ratio:>9.2f} x {'<= 0.25':>9} x{verdict}")


if __name__ == "__main__":
    main()
