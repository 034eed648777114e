"""A token server for docker-registry: `token_server.py DIR PORT [open]`. See the distribution project's `spec/auth`.

Knows alice with the password alice-password and the identity token of-alice. With `open`, whoever comes without a
password gets a token, too, which names nobody. Makes its key and certificate in DIR; prints `ready`.
"""

import base64
import http.server
import json
import os
import subprocess
import sys
import time
import urllib.parse

folder, port, is_open = sys.argv[1], int(sys.argv[2]), "open" in sys.argv[3:]
key, certificate = os.path.join(folder, "token.key"), os.path.join(folder, "token.crt")


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(subject, scopes):
    """A JWT in the form that the registry wants, signed with RS256."""
    with open(certificate) as file:
        chain = ["".join(line.strip() for line in file if not line.startswith("-----"))]
    now = int(time.time())
    access = []
    for scope in scopes if subject else []:
        kind, name, actions = scope.split(":")
        access.append({"type": kind, "name": name, "actions": actions.split(",")})
    claims = {"iss": "peer", "sub": subject, "aud": "peer", "exp": now + 300, "nbf": now - 10, "iat": now, "jti": str(now)}
    head = base64url(json.dumps({"typ": "JWT", "alg": "RS256", "x5c": chain}).encode())
    body = head + "." + base64url(json.dumps(claims | {"access": access}).encode())
    sign = ["openssl", "dgst", "-sha256", "-sign", key]
    return body + "." + base64url(subprocess.run(sign, input=body.encode(), capture_output=True, check=True).stdout)


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def answer(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refuse(self):
        self.answer(401, {"errors": [{"code": "UNAUTHORIZED", "message": "authentication required", "detail": None}]})

    def do_GET(self):
        query = urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query)
        given = self.headers.get("Authorization")
        known = "Basic " + base64.b64encode(b"alice:alice-password").decode()
        if given != known and not (given is None and is_open):
            return self.refuse()
        subject = "alice" if given else ""
        self.answer(200, {"token": signed(subject, query.get("scope", [])), "expires_in": 300})

    def body(self):
        if self.headers["Content-Length"]:
            return self.rfile.read(int(self.headers["Content-Length"]))
        # In chunks, each with its length in hexadecimal before and an empty line after it.
        body = b""
        while length := int(self.rfile.readline(), 16):
            body += self.rfile.read(length)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def do_POST(self):
        form = urllib.parse.parse_qs(self.body().decode())
        if form.get("refresh_token") != ["of-alice"]:
            return self.answer(400, {"error": "invalid_grant"})
        scopes = form.get("scope", [""])[0].split()
        self.answer(200, {"access_token": signed("alice", scopes), "expires_in": 300})


os.makedirs(folder, exist_ok=True)
subprocess.run(
    ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=peer", "-days", "2"]
    + ["-keyout", key, "-out", certificate],
    check=True,
    capture_output=True,
)
server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
print("ready", flush=True)
server.serve_forever()
