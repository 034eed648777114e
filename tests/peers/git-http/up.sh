#!/bin/bash
# git over HTTP (smart protocol) under nginx on loopback, in the foreground: /private for alice, alice-password; /open for
# everybody. Both hold demo.git.
#
#   up.sh DIR PORT
set -euo pipefail
dir=$1 port=$2
mkdir -p "$dir/private" "$dir/open" "$dir/tmp"
cd "$dir"
PATH=$PATH:/usr/sbin
printf 'alice:%s\n' "$(openssl passwd -apr1 alice-password)" >users
for root in private open; do
    [ -d $root/demo.git ] || git init --quiet --bare $root/demo.git
done

backend() {
    cat <<CONF
        location ~ ^/$1(/.*)\$ {
            $2
            include /etc/nginx/fastcgi_params;
            fastcgi_pass unix:$PWD/fcgi.sock;
            fastcgi_param SCRIPT_FILENAME $(git --exec-path)/git-http-backend;
            fastcgi_param GIT_PROJECT_ROOT $PWD/$1;
            fastcgi_param GIT_HTTP_EXPORT_ALL 1;
            fastcgi_param PATH_INFO \$1;
            fastcgi_param REMOTE_USER \$remote_user;
        }
CONF
}
cat >nginx.conf <<CONF
daemon off;
master_process off;
pid $PWD/pid;
error_log $PWD/error.log warn;
events {}
http {
    access_log $PWD/access.log;
    client_body_temp_path $PWD/tmp/body;
    proxy_temp_path $PWD/tmp/proxy;
    fastcgi_temp_path $PWD/tmp/fastcgi;
    uwsgi_temp_path $PWD/tmp/uwsgi;
    scgi_temp_path $PWD/tmp/scgi;
    server {
        listen 127.0.0.1:$port;
$(backend private "auth_basic git; auth_basic_user_file $PWD/users;")
$(backend open "")
    }
}
CONF
# The helper ends when this process, which becomes nginx, has ended.
fcgiwrap -s "unix:$PWD/fcgi.sock" >fcgi.log 2>&1 </dev/null &
helper=$!
(while kill -0 $$ 2>/dev/null; do sleep 0.5; done; kill $helper) >/dev/null 2>&1 </dev/null &
for _ in $(seq 100); do [ -S fcgi.sock ] && break; sleep 0.05; done
exec nginx -p "$PWD" -e "$PWD/error.log" -c "$PWD/nginx.conf"
