"""Times the listing and searching of a vault of 10 000 credentials, beside `sqlite3` that selects the same rows.

    python3 tests/bench/vault.py LANYARD ROUNDS FOLDER [CREDENTIALS]

The rows are written past lanyard, since a list opens no secret. All commands are timed in turn in one run.
"""
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import time


def main():
    binary, rounds, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    count = int(sys.argv[4]) if len(sys.argv) > 4 else 10_000
    os.makedirs(folder, mode=0o700)
    with open(os.open(os.path.join(folder, "config.toml"), os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write('[defaults]\nstorage = "plain"\n')
    environment = {"PATH": os.environ["PATH"], "HOME": folder, "LANYARD_CONFIG_DIR": folder}
    store = [binary, "credentials", "store", "env", "TOKEN=-", "--name", "first"]
    subprocess.run(store, input="value", text=True, env=environment, check=True, capture_output=True)
    database = os.path.join(folder, "vault.db")
    fill(database, count)
    listed = [binary, "credentials", "list"]
    commands = {
        "list": listed,
        "list --json": [*listed, "--json"],
        "list --search": [*listed, "--search", "host-5000"],
        "sqlite3 -json": ["sqlite3", "-json", database, "SELECT * FROM credentials ORDER BY project, name"],
    }
    shown = subprocess.run(commands["list --json"], env=environment, capture_output=True, text=True, check=True)
    if len(json.loads(shown.stdout)) != count + 1:
        sys.exit("not all credentials are listed, so there is nothing to time")
    times = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            started = time.perf_counter()
            subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            times[name].append((time.perf_counter() - started) * 1000)
    print(f"\n{count} credentials, {rounds} rounds\n{'command':<34}{'measured':>12}{'target':>12}")
    for name, values in times.items():
        median = statistics.median(values)
        target = "" if name.startswith("sqlite3") else f"{'<= 50':>9} ms"
        print(f"{name:<34}{median:>9.1f} ms{target}{'   missed' if target and median > 50 else ''}")


def fill(database, count):
    """Copies the first credential's row under other names, with fields to search in."""
    connection = sqlite3.connect(database)
    names = [column[1] for column in connection.execute("PRAGMA table_info(credentials)")]
    first = dict(zip(names, connection.execute("SELECT * FROM credentials").fetchone()))
    rows = []
    for number in range(count):
        fields = {"account": f"{number:012}", "region": "eu-west-1", "url": f"https://host-{number}.example.com/path"}
        row = first | {"hosts_by": "", "id": f"cred_{number:026}", "name": f"credential-{number:05}", "fields": json.dumps(fields)}
        rows.append([row[name] for name in names])
    connection.executemany(f"INSERT INTO credentials VALUES ({','.join('?' * len(names))})", rows)
    connection.commit()
    connection.close()


if __name__ == "__main__":
    main()
