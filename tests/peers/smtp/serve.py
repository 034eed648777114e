"""The mail server of `up.sh`: `serve.py PORT SECURITY CERTIFICATE KEY LOG`."""

import signal
import ssl
import sys

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult


class Nobody:
    """Mail that is sent all the same is an error in the client."""

    async def handle_MAIL(self, server, session, envelope, address, options):
        note("MAIL")
        return "550 no mail is taken"


def note(line):
    with open(sys.argv[5], "a", encoding="utf-8") as log:
        log.write(line + "\n")


def authenticate(server, session, envelope, mechanism, data):
    secured = "TLS" if session.ssl or server.transport.get_extra_info("sslcontext") else "plain"
    good = data.login == b"alice" and data.password == b"alice-password"
    note(f"{mechanism} {'good' if good else 'bad'} {secured}")
    # A refusal that is not `handled` is sent by the server itself.
    return AuthResult(success=good, handled=good)


def main():
    port, security, certificate, key = int(sys.argv[1]), *sys.argv[2:5]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if security == "tls":
        # TLS from the first byte: the server itself knows nothing of it, so it is told not to ask for it.
        options = {"ssl_context": context, "auth_require_tls": False}
    else:
        options = {"tls_context": context, "require_starttls": True}
    controller = Controller(Nobody(), hostname="127.0.0.1", port=port, authenticator=authenticate, **options)
    controller.start()
    signal.sigwait([signal.SIGTERM, signal.SIGINT])


main()
