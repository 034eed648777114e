"""Puts TLS before a server on loopback: `serve.py CERTIFICATE KEY BACKEND_PORT [NEWEST]`.

Prints `ready PORT`, then one line for every handshake: `TLSv1.3` or the reason why there was none. NEWEST, such as
`1.1`, is the newest version that it speaks; without it, Python's own choice.
"""

import socket
import ssl
import sys
import threading
import warnings


def pump(source, target):
    try:
        while block := source.recv(65536):
            target.sendall(block)
    except OSError:
        pass
    try:
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def take(context, raw, backend_port):
    raw.settimeout(60)
    try:
        outside = context.wrap_socket(raw, server_side=True)
    except OSError as error:
        print(f"refused: {error}", flush=True)
        raw.close()
        return
    print(outside.version(), flush=True)
    with outside, socket.create_connection(("127.0.0.1", backend_port)) as inside:
        forth = threading.Thread(target=pump, args=(outside, inside), daemon=True)
        forth.start()
        # The backend answers one request and closes; then the client is told so.
        try:
            while block := inside.recv(65536):
                outside.sendall(block)
            outside.unwrap()
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
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"ready {listener.getsockname()[1]}", flush=True)
    while True:
        raw, _ = listener.accept()
        threading.Thread(target=take, args=(context, raw, int(backend_port)), daemon=True).start()


main()
