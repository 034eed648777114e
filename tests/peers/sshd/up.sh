#!/bin/bash
# An sshd on loopback, in the foreground, that lets in whoever has a key of DIR/authorized_keys.
#
#   up.sh DIR PORT
set -euo pipefail
dir=$1 port=$2

mkdir -p "$dir"
cd "$dir"
ssh-keygen -q -t ed25519 -N '' -f host
touch authorized_keys
# Where the server gives up its rights, if it has any.
if [ "$(id -u)" = 0 ]; then mkdir -p /run/sshd; fi
cat >sshd_config <<CONF
ListenAddress 127.0.0.1:$port
HostKey $PWD/host
PidFile $PWD/pid
AuthorizedKeysFile $PWD/authorized_keys
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
StrictModes no
CONF
exec /usr/sbin/sshd -D -e -f "$PWD/sshd_config"
