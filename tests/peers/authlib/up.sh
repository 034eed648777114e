#!/bin/bash
# An OAuth client that is not ours: Authlib, in an environment of its own.
#
#   up.sh VENV
#
# VENV is made and filled if it is not there. `client.py` beside this file is run with its python.
set -euo pipefail
venv=$1

if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c 'import authlib, requests' 2>/dev/null; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check 'authlib==1.6.5' 'requests==2.32.5'
fi
