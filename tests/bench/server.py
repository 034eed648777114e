"""Loads a server on SQLite and on PostgreSQL: audited reads of a secret, long lists, many connections.

    python3 tests/bench/server.py LANYARD SECONDS FOLDER [CREDENTIALS]

`wrk` asks on loopback for a credential's secret, each time with its entry in the audit. Beside it stand the databases
alone, doing the statements of one such request: they are the limit. It reports; it does not fail.
"""
import glob
import json
import os
import re
import resource
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.parse
import urllib.request

LOGIN, PASSPHRASE = "bench@example.com", "correct horse battery staple"
CALLERS = (1, 32)
CONNECTIONS = 1000
HERE = os.path.dirname(os.path.abspath(__file__))
PEER = os.path.join(HERE, "..", "peers", "postgres")

# What one read asks of the database besides the audit.
READS = [
    "SELECT t.org, t.kind, t.hash, t.person, t.permissions, t.expires, t.used, t.revoked, p.login, m.role, j.name, r.role "
    "FROM tokens t LEFT JOIN people p ON p.id = t.person LEFT JOIN members m ON m.org = t.org AND m.person = t.person "
    "LEFT JOIN project_roles r ON r.org = t.org AND r.person = t.person "
    "LEFT JOIN projects j ON j.org = r.org AND j.id = r.project WHERE t.id = {token}",
    "SELECT * FROM credentials WHERE org = {org} AND id = {credential}",
    "SELECT d.version, d.key_version, d.wrapped, o.wrapped, o.own_version, s.wrapped, k.address FROM data_keys d "
    "LEFT JOIN organization_keys o ON o.org = d.org AND o.version = d.key_version "
    "LEFT JOIN server_keys s ON s.version = o.own_version "
    "LEFT JOIN kept_secrets k ON k.org = d.org AND k.credential = d.credential "
    "WHERE d.org = {org} AND d.credential = {credential}",
    "SELECT field, sealed FROM secrets WHERE org = {org} AND credential = {credential}",
]


def main():
    binary, seconds, folder = os.path.realpath(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    count = int(sys.argv[4]) if len(sys.argv) > 4 else 100_000
    os.makedirs(folder, mode=0o700)
    for kind in ("SQLite", "PostgreSQL"):
        here = os.path.join(folder, kind)
        os.makedirs(here, mode=0o700)
        database = Postgres(here) if kind == "PostgreSQL" else Sqlite(here)
        server = Server(binary, here, database)
        try:
            print(f"\n{kind}\n{'reads of a secret, each audited':<38}{'per second':>12}{'p50':>12}{'p99':>12}")
            for callers in CALLERS:
                report(f"lanyard, {callers} at a time", *load(server, callers, seconds))
            for callers in database.callers:
                report(f"the database alone, {callers} at a time", *database.alone(server, callers, seconds))
            idle, held = memory(server)
            database.fill(server, count)
            lists(server, count)
            print(f"\n{'memory':<38}{'measured':>12}{'target':>12}\n{'after the load':<38}{idle:>9.1f} MB\n"
                  f"{f'with {CONNECTIONS} connections open':<38}{held:>9.1f} MB{'< 100 MB':>12}{'' if held < 100 else '   missed'}")
        finally:
            server.stop()
            database.stop()


def report(name, rate, half, most):
    print(f"{name:<38}{rate:>12.0f}{half:>9.2f} ms{most:>9.2f} ms")


class Server:
    """A running server with an owner, one credential, and an API key that reads it."""

    def __init__(self, binary, folder, database):
        self.data = os.path.join(folder, "server")
        environment = {"PATH": os.environ["PATH"], "HOME": folder, "LANYARD_CONFIG_DIR": os.path.join(folder, "config")}
        words = [binary, "serve", "--data", self.data, "--master-key-file", os.path.join(folder, "master.key"),
                 "--listen", "127.0.0.1:0", "--log", "off", "--rate-address", "0", "--rate-token", "0",
                 "--rate-caller", "0",
                 "--rate-organization", "0", "--connections-per-address", "4096", *database.flags]
        self.process = subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        for line in self.process.stderr:
            if found := re.search(r"Serving (http://\S+)", line):
                self.url = found[1]
            if "setup-link" in line or "/setup?token=" in line:
                break
        self.address = urllib.parse.urlsplit(self.url).netloc
        with open(os.path.join(self.data, "setup-link")) as file:
            link = file.read().strip()
        fields = {"token": link.split("token=")[1], "organization": "Bench", "login": LOGIN, "passphrase": PASSPHRASE,
                  "again": PASSPHRASE}
        cookie = self.form("/setup", fields).headers["Set-Cookie"].split(";")[0]
        with open(os.open(self.made(folder, "config.toml"), os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write('[defaults]\nstorage = "plain"\n')
        self.sign_in(binary, environment, cookie)
        token = subprocess.run([binary, "auth", "token"], env=environment, capture_output=True, text=True, check=True)
        self.bearer = token.stdout.strip()
        key = {"name": "bench", "permissions": ["credentials.read", "secrets.read"]}
        made = self.api("POST", "/credential-configs",
                        {"name": "first", "kind": "generic_env", "data": {"TOKEN": "bench-" + "0123456789" * 4}})
        self.organization = self.api("GET", "/userinfo")["organization"]["id"]
        self.bearer = self.api("POST", "/api-keys", key)["key"]
        self.credential = made["id"]

    @staticmethod
    def made(folder, name):
        config = os.path.join(folder, "config")
        os.makedirs(config, mode=0o700, exist_ok=True)
        return os.path.join(config, name)

    def sign_in(self, binary, environment, cookie):
        login = subprocess.Popen([binary, "auth", "login", "--service", self.url, "--no-browser", "--scopes", "all"],
                                 env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, text=True)
        asked = next(found[0] for line in login.stdout if (found := re.search(r"http://\S+/authorize\?\S+", line)))
        page = self.ask(urllib.request.Request(asked, headers={"Cookie": cookie})).read().decode()
        hidden = dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page))
        hidden = {name: value.replace("&amp;", "&").replace("&#39;", "'").replace("&quot;", '"') for name, value in hidden.items()}
        answer = self.form("/authorize", hidden | {"decision": "allow"}, cookie)
        urllib.request.urlopen(answer.headers["Location"]).read()
        login.stdout.read()
        if login.wait() != 0:
            sys.exit("the command line does not sign in, so there is nothing to time")

    def form(self, path, fields, cookie=""):
        request = urllib.request.Request(self.url + path, urllib.parse.urlencode(fields).encode(),
                                         {"Origin": self.url, "Cookie": cookie})
        return self.ask(request)

    @staticmethod
    def ask(request):
        """The answer, also where it leads elsewhere."""
        class Here(urllib.request.HTTPRedirectHandler):
            def redirect_request(self, *_):
                return None
        try:
            return urllib.request.build_opener(Here).open(request)
        except urllib.error.HTTPError as answer:
            if answer.code >= 400:
                sys.exit(f"{request.full_url}: {answer.code} {answer.read().decode()}")
            return answer

    def api(self, method, path, body=None):
        headers = {"Authorization": f"Bearer {self.bearer}", "Content-Type": "application/json"}
        data = json.dumps(body).encode() if body is not None else None
        return json.load(self.ask(urllib.request.Request(self.url + path, data, headers, method=method)))

    def held(self):
        """Memory in MB."""
        with open(f"/proc/{self.process.pid}/status") as file:
            return int(re.search(r"VmRSS:\s+(\d+)", file.read())[1]) / 1024

    def stop(self):
        self.process.terminate()
        self.process.wait()


def load(server, callers, seconds):
    """Requests a second and the times within which a half and 99 of 100 are answered, by wrk."""
    path = f"/credential-configs/{server.credential}/secrets"
    words = ["wrk", "-t1", f"-c{callers}", f"-d{seconds}s", "--latency", "-H", f"Authorization: Bearer {server.bearer}",
             server.url + path]
    told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in told:
        sys.exit(f"not all were answered: {told}")
    milliseconds = {"us": 0.001, "ms": 1, "s": 1000, "m": 60000}
    parts = [re.search(rf"{part}%\s+([\d.]+)(us|ms|s|m)", told) for part in (50, 99)]
    times = [float(part[1]) * milliseconds[part[2]] for part in parts]
    return float(re.search(r"Requests/sec:\s+([\d.]+)", told)[1]), *times


def lists(server, count):
    """The time of each page of a long list."""
    print(f"\n{f'a page of 200 of {count} credentials':<38}{'measured':>12}")
    times, cursor = [], ""
    while cursor is not None:
        started = time.perf_counter()
        page = server.api("GET", f"/credential-configs?limit=200{cursor}")
        times.append((time.perf_counter() - started) * 1000)
        cursor = f"&cursor={page['next']}" if page["next"] else None
    # The last one is not whole.
    whole = times[1:-1]
    near = lambda middle: sorted(whole[max(0, middle - 3):middle + 4])[min(len(whole), 7) // 2]
    for name, place in (("first", 3), ("middle", len(whole) // 2), ("last", len(whole) - 4)):
        print(f"{name:<38}{near(max(0, place)):>9.1f} ms")


def memory(server):
    """Memory before, and with so many connections open that were each answered once."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    idle, (host, port) = server.held(), server.address.split(":")
    opened = []
    for _ in range(CONNECTIONS):
        one = socket.create_connection((host, int(port)))
        one.sendall(f"GET /healthz HTTP/1.1\r\nHost: {server.address}\r\n\r\n".encode())
        opened.append(one)
    for one in opened:
        if not one.recv(4096).startswith(b"HTTP/1.1 200"):
            sys.exit("a connection was not answered")
    held = server.held()
    for one in opened:
        one.close()
    return idle, held


def statements(server, spelt):
    """What one audited read asks of the database."""
    return [one.format(**spelt) for one in READS], [one.format(**spelt) for one in (
        "SELECT version, wrapped FROM organization_keys WHERE org = {org} ORDER BY version DESC LIMIT 1",
        "UPDATE bench_heads SET sequence = sequence + 1 WHERE org = {org} RETURNING sequence",
        "INSERT INTO bench_events SELECT {org}, sequence, {entry}, {hash}, {hash} FROM bench_heads WHERE org = {org}",
        "UPDATE bench_heads SET hash = {hash} WHERE org = {org}",
    )]


# Tables like those of the audit, so that its chain stays whole.
TABLES = """CREATE TABLE bench_events (org TEXT, sequence BIGINT, entry TEXT, hash {bytes}, mac {bytes}, PRIMARY KEY (org, sequence));
CREATE TABLE bench_heads (org TEXT PRIMARY KEY, sequence BIGINT, hash {bytes});
INSERT INTO bench_heads VALUES ('{org}', 0, {zeros});"""
COPY = """INSERT INTO credentials ({names}) SELECT {values} FROM credentials, {numbers} WHERE credentials.name = 'first'"""
ENTRY = "'" + "e" * 400 + "'"


class Sqlite:
    """The database in the data folder. One writes at a time."""
    flags, callers = (), (1,)

    def __init__(self, folder):
        self.file = os.path.join(folder, "server", "server.db")

    def opened(self):
        connection = sqlite3.connect(self.file, isolation_level=None)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA busy_timeout = 15000")
        return connection

    def alone(self, server, _, seconds):
        connection = self.opened()
        connection.executescript(TABLES.format(bytes="BLOB", org=server.organization, zeros="zeroblob(32)"))
        text = lambda value: "'" + value + "'"
        spelt = {"org": text(server.organization), "credential": text(server.credential), "token": "'x'",
                 "entry": ENTRY, "hash": "randomblob(32)"}
        reads, writes = statements(server, spelt)
        times, ends = [], time.perf_counter() + seconds
        while (started := time.perf_counter()) < ends:
            for one in reads:
                connection.execute(one).fetchall()
            connection.execute("BEGIN IMMEDIATE")
            for one in writes:
                connection.execute(one).fetchall()
            connection.execute("COMMIT")
            times.append((time.perf_counter() - started) * 1000)
        times.sort()
        connection.executescript("DROP TABLE bench_events; DROP TABLE bench_heads")
        return len(times) / seconds, times[len(times) // 2], times[len(times) * 99 // 100]

    def fill(self, server, count):
        connection = self.opened()
        names = [column[1] for column in connection.execute("PRAGMA table_info(credentials)")]
        numbers = f"(WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < {count - 1}) SELECT x FROM n)"
        values = {"id": "printf('cred_%026d', x)", "name": "printf('credential-%06d', x)"}
        values = [values.get(name, f"credentials.{name}") for name in names]
        connection.execute(COPY.format(names=", ".join(names), values=", ".join(values), numbers=numbers))

    def stop(self):
        pass


class Postgres:
    """A private cluster, with `pgbench` for the database alone: as many at a time as lanyard has connections."""
    callers = (1, 16)

    def __init__(self, folder):
        self.folder = os.path.join(folder, "postgres")
        port = socket.socket()
        port.bind(("127.0.0.1", 0))
        number = port.getsockname()[1]
        port.close()
        # The database's own user must reach its folder.
        for above in (folder, os.path.dirname(folder), os.path.dirname(os.path.dirname(folder))):
            os.chmod(above, 0o711)
        subprocess.run(["bash", os.path.join(PEER, "up.sh"), self.folder, str(number)], check=True, capture_output=True)
        with open(os.path.join(self.folder, "url")) as file:
            self.url = file.read().strip()
        self.flags = ("--database", self.url)

    def sql(self, statements):
        told = subprocess.run(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", self.url, "-c", statements],
                              capture_output=True, text=True)
        if told.returncode != 0:
            sys.exit(told.stderr)
        return told.stdout

    def alone(self, server, callers, seconds):
        self.sql("DROP TABLE IF EXISTS bench_events, bench_heads")
        self.sql(TABLES.format(bytes="BYTEA", org=server.organization, zeros="'\\x00'"))
        text = lambda value: "'" + value + "'"
        spelt = {"org": text(server.organization), "credential": text(server.credential), "token": "'x'",
                 "entry": ENTRY, "hash": "decode(md5(random()::text), 'hex')"}
        reads, writes = statements(server, spelt)
        within = f"SET LOCAL lanyard.org = '{server.organization}'; SET LOCAL lanyard.open = 'secrets';"
        script = os.path.join(self.folder, "read.sql")
        lines = ["BEGIN READ ONLY;", within, *(one + ";" for one in reads), "COMMIT;",
                 "BEGIN;", within, *(one + ";" for one in writes), "COMMIT;"]
        with open(script, "w") as file:
            file.write("\n".join(lines) + "\n")
        log = os.path.join(self.folder, f"log-{callers}")
        words = ["pgbench", "-n", "-M", "prepared", "-f", script, "-c", str(callers), "-j", "1", "-T", str(seconds), "-l",
                 f"--log-prefix={log}", self.url]
        told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        times = sorted(int(line.split()[2]) / 1000 for name in glob.glob(log + "*") for line in open(name))
        rate = float(re.search(r"tps = ([\d.]+)", told)[1])
        self.sql("DROP TABLE bench_events, bench_heads")
        return rate, times[len(times) // 2], times[len(times) * 99 // 100]

    def fill(self, server, count):
        names = self.sql("SELECT column_name FROM information_schema.columns WHERE table_schema = current_schema() "
                         "AND table_name = 'credentials' ORDER BY ordinal_position").split()
        values = {"id": "'cred_' || lpad(x::text, 26, '0')", "name": "'credential-' || lpad(x::text, 6, '0')"}
        values = [values.get(name, f"credentials.{name}") for name in names]
        copy = COPY.format(names=", ".join(names), values=", ".join(values), numbers=f"generate_series(1, {count - 1}) x")
        self.sql(f"SET lanyard.org = '{server.organization}'; {copy}; ANALYZE credentials")

    def stop(self):
        subprocess.run(["bash", os.path.join(PEER, "down.sh"), self.folder, "immediate"], capture_output=True)


if __name__ == "__main__":
    main()
