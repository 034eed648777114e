#!/bin/bash
# Helm repositories under nginx on loopback, in the foreground: /charts for alice, alice-password; /open for everybody.
#
#   up.sh DIR PORT
set -euo pipefail
dir=$1 port=$2

mkdir -p "$dir/www/charts" "$dir/www/open" "$dir/tmp"
cd "$dir"
htpasswd -bn alice alice-password >htpasswd
printf 'apiVersion: v1\nentries: {}\ngenerated: "2026-01-01T00:00:00Z"\n' | tee www/charts/index.yaml >www/open/index.yaml
cat >nginx.conf <<CONF
daemon off;
master_process off;
pid $PWD/pid;
error_log $PWD/error.log;
events {}
http {
    access_log off;
    client_body_temp_path $PWD/tmp/body;
    proxy_temp_path $PWD/tmp/proxy;
    fastcgi_temp_path $PWD/tmp/fastcgi;
    uwsgi_temp_path $PWD/tmp/uwsgi;
    scgi_temp_path $PWD/tmp/scgi;
    server {
        listen 127.0.0.1:$port;
        root $PWD/www;
        location /charts/ { auth_basic charts; auth_basic_user_file $PWD/htpasswd; }
        location /open/ {}
    }
}
CONF
PATH=$PATH:/usr/sbin exec nginx -p "$PWD" -e "$PWD/error.log" -c "$PWD/nginx.conf"
