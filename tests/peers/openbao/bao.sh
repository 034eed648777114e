#!/bin/bash
# What whoever runs the OpenBao of up.sh does to it: `bao.sh unseal DIR`, `bao.sh seal DIR`, or `bao.sh DIR WORD …`,
# which is `bao WORD …` with the root token.
set -euo pipefail
what=$1
case $what in seal | unseal) dir=$2 ;; *) dir=$1; shift ;; esac
BAO_ADDR=$(cat "$dir/address") BAO_TOKEN=$(cat "$dir/root.token")
export BAO_ADDR BAO_TOKEN BAO_SKIP_VERIFY=1
case $what in
    unseal)
        key=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["unseal_keys_b64"][0])' "$dir/init.json")
        "$dir/bao" operator unseal "$key" > "$dir/unsealed.log"
        for _ in $(seq 200); do
            [ "$(curl -sk -o "$dir/status.json" -w '%{http_code}' "$BAO_ADDR/v1/sys/health")" = 200 ] && exit 0
            sleep 0.05
        done
        exit 1 ;;
    seal) "$dir/bao" operator seal > "$dir/sealed.log" ;;
    *) exec "$dir/bao" "$@" ;;
esac
