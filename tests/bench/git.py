"""Times git with lanyard as its helper against git without, and the helper against others, and prints a table.

    python3 tests/bench/git.py LANYARD ROUNDS FOLDER      on a private bus, by tests/peers/keyring/with-keyring.sh

The server is git-http-backend on loopback, the vault's root key rests in the keychain. All are timed in turn in one run.
"""
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time

QUESTION = "protocol=http\nhost={host}\n\n"


def main():
    binary, rounds, folder = os.path.abspath(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    os.makedirs(folder, mode=0o700)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    host = f"127.0.0.1:{port}"
    peer = os.path.join(os.path.dirname(__file__), "../peers/git-http/up.sh")
    server = subprocess.Popen(["bash", peer, os.path.join(folder, "server"), str(port)],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        bench(binary, rounds, folder, host)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()


def wait_for(port):
    for _ in range(200):
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.05)
    sys.exit("the server does not answer")


def bench(binary, rounds, folder, host):
    kept = ("PATH", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment |= {"HOME": folder, "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1"}
    url = f"http://{host}/private/demo.git"
    login = ["--username", "alice", "--token", "-"]
    subprocess.run([binary, "credentials", "store", "git", url, *login], input="alice-password", text=True,
                   env=environment, check=True, capture_output=True)
    stored = os.path.join(folder, "plain-file")
    with open(os.open(stored, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write(f"http://alice:alice-password@{host}\n")

    def listing(*helpers):
        chosen = [word for helper in ("", *helpers) for word in ("-c", f"credential.helper={helper}")]
        return ["git", *chosen, "ls-remote", url]

    question = QUESTION.format(host=host)
    commands = {
        "ls-remote, open to all": (["git", "ls-remote", url.replace("/private/", "/open/")], ""),
        "ls-remote, plain file": (listing(f"store --file={stored}"), ""),
        "ls-remote, lanyard": (listing(f"{binary} helper git"), ""),
        "lanyard helper git get": ([binary, "helper", "git", "get"], question),
        "lanyard helper git store": ([binary, "helper", "git", "store"], question),
        "git credential-store get": (["git", "credential-store", f"--file={stored}", "get"], question),
    }
    libsecret = shutil.which("git-credential-libsecret")
    if libsecret:
        kept = question.replace("\n\n", "\nusername=alice\npassword=alice-password\n\n")
        subprocess.run([libsecret, "store"], input=kept, text=True, env=environment, check=True)
        commands["git-credential-libsecret get"] = ([libsecret, "get"], question)
        commands["ls-remote, libsecret"] = (listing(libsecret), "")
    for name, (command, stdin) in commands.items():
        outcome = subprocess.run(command, input=stdin, text=True, env=environment, capture_output=True)
        if outcome.returncode != 0 or (name.endswith(" get") and "alice-password" not in outcome.stdout):
            sys.exit(f"{name} does not work here, so there is nothing to time: {outcome.stderr}")
    times = {name: [] for name in commands}
    for _ in range(rounds):
        for name, (command, stdin) in commands.items():
            started = time.perf_counter()
            subprocess.run(command, input=stdin.encode(), env=environment,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            times[name].append((time.perf_counter() - started) * 1000)
    times = {name: statistics.median(values) for name, values in times.items()}
    print(f"\ngit over HTTP, {rounds} rounds\n{'command':<34}{'median':>12}")
    for name, median in times.items():
        print(f"{name:<34}{median:>9.2f} ms")
    over = times["ls-remote, lanyard"] - times["ls-remote, plain file"]
    print(f"{'lanyard over a plain file':<34}{over:>9.2f} ms for get and store together")


if __name__ == "__main__":
    main()
