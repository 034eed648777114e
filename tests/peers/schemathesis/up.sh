#!/bin/bash
# A tester of APIs that is not ours: Schemathesis, in an environment of its own.
#
#   up.sh VENV
#
# VENV is made and filled if it is not there.
set -euo pipefail
venv=$1

if [ ! -x "$venv/bin/st" ] || ! "$venv/bin/python" -c 'import schemathesis' 2>/dev/null; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check 'schemathesis==4.32.5'
fi
