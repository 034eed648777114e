#!/bin/bash
# A mail server (aiosmtpd) on loopback, in the foreground: user `alice`, password `alice-password`.
#
#   up.sh VENV [PORT SECURITY CERTIFICATE KEY LOG]
#
# VENV is made and filled if it is not there; without PORT that is all. SECURITY is `tls` or `starttls`. LOG gets one line
# for every try to sign in: the mechanism and whether it was good.
set -euo pipefail
venv=$1
here=$(cd "$(dirname "$0")" && pwd)
readonly version=1.4.6

if [ ! -d "$venv/lib" ] || ! "$venv/bin/python" -c 'import aiosmtpd' 2>/dev/null; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "aiosmtpd==$version"
fi
[ $# -gt 1 ] || exit 0
shift
exec "$venv/bin/python" "$here/serve.py" "$@"
