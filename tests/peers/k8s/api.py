"""As much of a Kubernetes API as kubectl needs for `auth whoami` and `get namespaces`, over TLS on loopback.

    api.py CERTIFICATE KEY CLIENT_AUTHORITY [required] [eks]

Who a request is from: the common name of a client certificate that CLIENT_AUTHORITY has signed, else the name in the
lines `TOKEN NAME` on stdin, else nobody. With `required`, no connection comes about without a certificate. With `eks`, a
token may be a signed address of STS, as aws-iam-authenticator checks it but for the signature; who is then the key's
id. Prints `ready PORT`, then a line for each request: method, path, who.
"""

import base64
import datetime
import http.server
import json
import ssl
import sys
import urllib.parse

TOKENS = {}
OPTIONS = []
# What may stand in a signed address, and nothing else.
SIGNED = {"Action", "Version", "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires",
          "X-Amz-Security-Token", "X-Amz-Signature", "X-Amz-SignedHeaders"}


def of_aws(token):
    prefix, _, rest = token.partition("k8s-aws-v1.")
    if "eks" not in OPTIONS or prefix or "=" in rest:
        return None
    url = urllib.parse.urlsplit(base64.urlsafe_b64decode(rest + "=" * (-len(rest) % 4)).decode())
    query = dict(urllib.parse.parse_qsl(url.query, strict_parsing=True))
    made = datetime.datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ")
    age = datetime.datetime.utcnow() - made
    good = (url.scheme == "https" and url.path == "/" and url.hostname.startswith("sts.")
            and url.hostname.endswith(".amazonaws.com") and set(query) <= SIGNED
            and query["Action"] == "GetCallerIdentity" and 0 < int(query["X-Amz-Expires"]) <= 900
            and "x-k8s-aws-id" in query["X-Amz-SignedHeaders"].split(";")
            and abs(age) < datetime.timedelta(minutes=15))
    return "shop " + query["X-Amz-Credential"].split("/")[0] if good else None


def failure(code, reason, message):
    return code, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
                  "message": message}


def answer(method, path, who):
    path = path.split("?")[0]
    if path == "/apis/authentication.k8s.io/v1/selfsubjectreviews" and method == "POST":
        info = {"username": who, "groups": ["system:authenticated"]}
        return 201, {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1", "metadata": {},
                     "status": {"userInfo": info}}
    if path == "/api":
        return 200, {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        return 200, {"kind": "APIGroupList", "apiVersion": "v1", "groups": []}
    if path == "/api/v1":
        namespaces = {"name": "namespaces", "singularName": "namespace", "shortNames": ["ns"], "namespaced": False,
                      "kind": "Namespace", "verbs": ["get", "list"]}
        return 200, {"kind": "APIResourceList", "groupVersion": "v1", "resources": [namespaces]}
    if path == "/api/v1/namespaces":
        return 200, {"kind": "NamespaceList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"},
                     "items": [{"metadata": {"name": "shop"}}]}
    return failure(404, "NotFound", "the server could not find the requested resource")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def who(self):
        certificate = self.connection.getpeercert()
        if certificate:
            return dict(pair for name in certificate["subject"] for pair in name)["commonName"]
        scheme, _, token = (self.headers.get("Authorization") or "").partition(" ")
        return (TOKENS.get(token) or of_aws(token)) if scheme == "Bearer" else None

    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        who = self.who()
        print(self.command, self.path, who, flush=True)
        code, body = answer(self.command, self.path, who) if who else failure(401, "Unauthorized", "Unauthorized")
        body = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass


def main():
    certificate, key, authority, *options = sys.argv[1:]
    OPTIONS.extend(options)
    TOKENS.update(line.split(" ", 1) for line in sys.stdin.read().splitlines())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(authority)
    context.verify_mode = ssl.CERT_REQUIRED if "required" in options else ssl.CERT_OPTIONAL
    server = Server(("127.0.0.1", 0), Handler)
    # The handshake belongs to the thread of the connection: one that fails must not end the server.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    print(f"ready {server.server_address[1]}", flush=True)
    server.serve_forever()


main()
