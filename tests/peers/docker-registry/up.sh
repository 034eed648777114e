#!/bin/bash
# Debian's docker-registry on loopback, in the foreground.
#
#   up.sh DIR PORT [TOKEN_PORT]
#
# Without TOKEN_PORT it asks for a password: alice, alice-password. With it, it sends its users to the token server that
# `token_server.py DIR TOKEN_PORT` has started before.
set -euo pipefail
dir=$1 port=$2 token_port=${3-}

mkdir -p "$dir/data"
cd "$dir"
if [ -n "$token_port" ]; then
    auth="token: { realm: 'http://127.0.0.1:$token_port/token', service: peer, issuer: peer, rootcertbundle: '$PWD/token.crt' }"
else
    htpasswd -Bbn alice alice-password >htpasswd
    auth="htpasswd: { realm: peer, path: '$PWD/htpasswd' }"
fi
cat >config.yml <<CONF
version: 0.1
log: { level: error }
storage: { filesystem: { rootdirectory: '$PWD/data' } }
http: { addr: '127.0.0.1:$port' }
auth: { $auth }
CONF
exec docker-registry serve config.yml
