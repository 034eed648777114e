"""Puts TLS before a server on loopback: `serve.py CERTIFICATE KEY BACKEND_PORT [NEWEST]`.

Prints `ready PORT`, then one line for every handshake: `TLSv1.3` or the reason why there was none. NEWEST, such as
`1.1`, is the newest version that it speaks; without it, Python's own choice. `AT=ADDRESS:PORT` names another place to be at.
"""

import os
import re
import socket
import ssl
import sys
import threading
import warnings


def request_of(client):
    """One whole HTTP request; all of it where the client says `Content-Length`."""
    request = b""
    while b"\r\n\r\n" not in request:
        block = client.recv(65536)
        if not block:
            return request
        request += block
    head, body = request.split(b"\r\n\r\n", 1)
    length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
    missing = int(length[1]) - len(body) if length else 0
    while missing > 0 and (block := client.recv(65536)):
        request += block
        missing -= len(block)
    return request


def take(context, raw, backend_port):
    raw.settimeout(60)
    try:
        client = context.wrap_socket(raw, server_side=True)
    except OSError as error:
        print(f"refused: {error}", flush=True)
        raw.close()
        return
    print(client.version(), flush=True)
    # One after the other: a TLS connection is not to be read and written by two threads at once. The backend answers
    # one request and closes; then the client is told so.
    try:
        with client:
            if request := request_of(client):
                with socket.create_connection(("127.0.0.1", backend_port)) as backend:
                    backend.sendall(request)
                    while block := backend.recv(65536):
                        client.sendall(block)
            client.unwrap()
    except OSError:
        pass


def main():
    certificate, key, backend_port, *newest = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if newest:
        # The library refuses old versions by itself unless it is told to be careless.
        warnings.simplefilter("ignore", DeprecationWarning)
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = {"1.1": ssl.TLSVersion.TLSv1_1, "1.2": ssl.TLSVersion.TLSv1_2}[newest[0]]
    address, port = os.environ.get("AT", "127.0.0.1:0").split(":")
    listener = socket.create_server((address, int(port)))
    print(f"ready {listener.getsockname()[1]}", flush=True)
    while True:
        raw, _ = listener.accept()
        threading.Thread(target=take, args=(context, raw, int(backend_port)), daemon=True).start()


main()
