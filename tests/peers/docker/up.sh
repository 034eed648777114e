#!/bin/bash
# docker's client, where the system has none: out of Debian's package, without the engine that would be installed with it.
#
#   up.sh DIR       DIR/usr/bin/docker is there afterwards, or docker is in /usr/bin or /usr/local/bin
set -euo pipefail
dir=$1
readonly package=docker.io

if [ -x /usr/local/bin/docker ] || [ -x /usr/bin/docker ] || [ -x "$dir/usr/bin/docker" ]; then exit 0; fi
mkdir -p "$dir"
cd "$dir"
apt-get download -qq "$package"
dpkg-deb --fsys-tarfile "$package"_*.deb | tar -x ./usr/bin/docker
rm "$package"_*.deb
