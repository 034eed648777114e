#!/bin/bash
# A moto (AWS in Python) of one's own, in the foreground: loopback, in memory, as strict as AWS about signatures, keys,
# session tokens and permissions.
#
#   up.sh VENV [DIR PORT]
#
# VENV is made and filled if it is not there, with the AWS CLI as well. It is ready when DIR/keys.json is there: an access
# key of each user, and the role. Without DIR, only VENV is made. Where there is a file DIR/clock, its clock runs as that
# says, in the words of faketime: `+10m`.
set -euo pipefail
venv=$1 dir=${2-} port=${3-5000}
readonly version=5.2.5 cli_version=1.46.3

if [ ! -x "$venv/bin/moto_server" ] || [ ! -x "$venv/bin/aws" ]; then
    python3 -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "moto[server]==$version" "awscli==$cli_version"
fi
[ -n "$dir" ] || exit 0
if [ -e "$dir/clock" ]; then
    for library in /usr/lib/*/faketime/libfaketimeMT.so.1; do export LD_PRELOAD=$library; done
    export FAKETIME_TIMESTAMP_FILE=$dir/clock FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1
fi
exec "$venv/bin/python" "$(dirname "$0")/server.py" "$port" "$dir/keys.json"
