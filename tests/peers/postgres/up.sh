#!/bin/bash
# A private PostgreSQL 15 cluster (Debian) on a temp dir and a loopback port, SCRAM passwords, TLS optional.
# usage: up.sh DIR [PORT]      then: psql "$(cat DIR/url)" -c 'select 1'      stop: down.sh DIR
# As root it runs as user 'postgres' (the server refuses root). MAY is what its role may besides, such as createdb.
set -eu
dir=$1; port=${2:-55432}; bin=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)
mkdir -p "$dir"; dir=$(cd "$dir" && pwd)
run() { if [ "$(id -u)" = 0 ]; then su -s /bin/bash postgres -c "$1"; else bash -c "$1"; fi; }
if [ ! -d "$dir/data" ]; then
  printf 'postgres-pw\n' > "$dir/pw"; [ "$(id -u)" = 0 ] && chown -R postgres "$dir"
  run "$bin/initdb -D '$dir/data' -U postgres --pwfile='$dir/pw' --auth=scram-sha-256 -E UTF8 --locale=C.UTF-8 --no-instructions > '$dir/initdb.log'"
  cat >> "$dir/data/postgresql.conf" <<CONF
listen_addresses = '127.0.0.1'
port = $port
unix_socket_directories = '$dir'
fsync = ${FSYNC:-on}
max_connections = 50
CONF
fi
start="$bin/pg_ctl -D '$dir/data' -l '$dir/pg.log' -w -t 30 start > /dev/null"
if [ -z "${SMALL:-}" ]; then
  run "$start"
else
  # DIR/small is a file system of this size that the database alone sees; its own files and its log lie elsewhere.
  mkdir -p "$dir/small"
  mount="mount -t tmpfs -o size=$SMALL,mode=700"
  if [ "$(id -u)" = 0 ]; then
    START=$start unshare -m sh -c "$mount,uid=$(id -u postgres) none '$dir/small' && exec su -s /bin/bash postgres -c \"\$START\""
  else
    START=$start unshare -Urm sh -c "$mount none '$dir/small' && exec unshare -U --map-user=$(id -u) bash -c \"\$START\""
  fi
fi
echo "postgresql://lanyard:lanyard-pw@127.0.0.1:$port/lanyard" > "$dir/url"
PGPASSWORD=postgres-pw "$bin/psql" -qh 127.0.0.1 -p "$port" -U postgres -c "create role lanyard login ${MAY:-} password 'lanyard-pw'" -c "create database lanyard owner lanyard" 2>/dev/null || true
