#!/bin/bash
# A moto (AWS in Python) of one's own: loopback, in memory. It checks signatures, keys, session tokens and policies.
#
#   up.sh VENV [DIR PORT]
#
# VENV is made and filled if it is not there; DIR gets the log, `pid`, and `keys.json` with an access key of each user.
# Returns when the server answers. Without DIR, only VENV is made. Stop it with: kill "$(cat DIR/pid)"
set -euo pipefail
venv=$1 dir=${2-} port=${3-5000}
readonly version=5.2.5

if [ ! -x "$venv/bin/moto_server" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "moto[server]==$version"
fi
[ -n "$dir" ] || exit 0

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$dir"
cd "$dir"
# So many calls of AWS, those of setup.py, come before signatures and permissions count.
setup_calls=$("$venv/bin/python" "$here/setup.py" count)
export INITIAL_NO_AUTH_ACTION_COUNT=$setup_calls
setsid "$venv/bin/moto_server" -H 127.0.0.1 -p "$port" >server.log 2>&1 </dev/null &
echo $! >pid
for _ in $(seq 400); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
        exec "$venv/bin/python" "$here/setup.py" "http://127.0.0.1:$port" keys.json
    fi
    sleep 0.05
done
echo "moto did not start; see $dir/server.log" >&2
exit 1
