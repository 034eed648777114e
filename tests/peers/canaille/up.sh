#!/bin/bash
# A canaille (an identity server in Python) of one's own: loopback, SQLite, user alice, a public client.
#
#   up.sh VENV [DIR PORT CALLBACK_PORT]
#
# VENV is made and filled if it is not there; DIR gets the data, the log and `pid`. Returns when the server answers.
# Redirect URIs are compared with their port, so the callback has to come to CALLBACK_PORT. Without DIR, only VENV is made.
# Stop it with: kill "$(cat DIR/pid)"
set -euo pipefail
venv=$1 dir=${2-} port=${3-5055} callback=${4-8765}
readonly version=0.3.6

if [ ! -x "$venv/bin/canaille" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "canaille[front,oidc,sqlite,server]==$version"
fi
[ -n "$dir" ] || exit 0

mkdir -p "$dir"
cd "$dir"
canaille() { "$venv/bin/canaille" "$@" >>setup.log 2>&1; }

key=$("$venv/bin/canaille" jwk create rsa 2>/dev/null | "$venv/bin/python" -c '
import json, sys
print(", ".join(f"{name} = {json.dumps(value)}" for name, value in json.load(sys.stdin).items()))')
cat >canaille.toml <<CONF
SECRET_KEY = "for-tests-only"
SERVER_NAME = "127.0.0.1:$port"
PREFERRED_URL_SCHEME = "http"
[CANAILLE]
DATABASE = "sql"
ENABLE_PASSWORD_COMPROMISSION_CHECK = false
[CANAILLE_SQL]
DATABASE_URI = "sqlite:///$PWD/canaille.db"
[CANAILLE.ACL.DEFAULT]
PERMISSIONS = ["edit_self", "use_oidc"]
[CANAILLE_OIDC]
ACTIVE_JWKS = [{ $key }]
REQUIRE_NONCE = false
[CANAILLE_OIDC.TOKEN_LIFETIME]
authorization_code = 60
CONF
export CANAILLE_CONFIG=$PWD/canaille.toml

canaille install
canaille create user --quiet --user-name alice --given-name Alice --family-name Doe --formatted-name "Alice Doe" \
    --emails alice@example.test --password alice-password
canaille create client --quiet --client-id cli-public --client-name lanyard --client-uri http://127.0.0.1 \
    --token-endpoint-auth-method none --response-types code --grant-types authorization_code --grant-types refresh_token \
    --redirect-uris "http://127.0.0.1:$callback/callback" \
    --scope openid --scope profile --scope email --scope offline_access
# An audience must name a client that exists already; without one the ID tokens come with an empty `aud`.
id=$("$venv/bin/canaille" get client --client-id cli-public 2>/dev/null |
    "$venv/bin/python" -c 'import json, sys; print(json.load(sys.stdin)[0]["id"])')
canaille set client "$id" --audience "$id"

setsid "$venv/bin/canaille" run --bind "127.0.0.1:$port" >server.log 2>&1 </dev/null &
echo $! >pid
for _ in $(seq 200); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then exit 0; fi
    sleep 0.1
done
echo "canaille did not start; see $dir/server.log" >&2
exit 1
