#!/bin/bash
# A package index that demands a password, with the clients that ask for it: two generations of pip, uv, twine.
#
#   up.sh VENV [FOLDER PORT]
#
# VENV is made and filled if it is not there, with the older pip in VENV/old. With FOLDER, serves the packages in
# FOLDER/packages to alice with alice-password, in the foreground. The package `peer` is there, and lies in FOLDER as
# `other`, to be uploaded.
set -euo pipefail
venv=$1 folder=${2-} port=${3-}

if [ ! -x "$venv/bin/pypi-server" ] || [ ! -x "$venv/old/bin/pip" ] || [ ! -x "$venv/bin/twine" ]; then
    python3 -m venv "$venv"
    # bcrypt 5 and passlib do not go together.
    "$venv/bin/pip" install --quiet --disable-pip-version-check --upgrade \
        'pip==26.3' 'pypiserver[passlib]==2.4.2' 'bcrypt==4.0.1' 'uv==0.13.8' 'twine==7.0.0'
    python3 -m venv "$venv/old"
    "$venv/old/bin/pip" install --quiet --disable-pip-version-check --upgrade 'pip==25.3'
fi
[ -n "$folder" ] || exit 0

mkdir -p "$folder/packages"
"$venv/bin/python" - "$folder" <<'PY'
import sys, zipfile
from passlib.apache import HtpasswdFile
folder = sys.argv[1]
users = HtpasswdFile(folder + "/htpasswd", new=True)
users.set_password("alice", "alice-password")
users.save()

def wheel(folder, name):
    info = name + "-1.0.dist-info/"
    with zipfile.ZipFile(f"{folder}/{name}-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr(name + ".py", "")
        archive.writestr(info + "METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: peer\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(info + "RECORD", f"{name}.py,,\n{info}METADATA,,\n{info}WHEEL,,\n{info}RECORD,,\n")

wheel(folder + "/packages", "peer")
wheel(folder, "other")
PY
# pypiserver answers a wrong password with 403. Most indexes answer with 401, which is what the clients wait for.
exec "$venv/bin/python" - "$folder" "$port" <<'PY'
import sys, pypiserver
from wsgiref.simple_server import make_server
folder, port = sys.argv[1], int(sys.argv[2])
index = pypiserver.app(
    roots=[folder + "/packages"], password_file=folder + "/htpasswd",
    authenticate=["update", "download", "list"], disable_fallback=True,
)

def honest(environ, start_response):
    def start(status, headers, info=None):
        if status.startswith("403"):
            status, headers = "401 Unauthorized", headers + [("WWW-Authenticate", 'Basic realm="pypi"')]
        return start_response(status, headers, info)
    return index(environ, start)

make_server("127.0.0.1", port, honest).serve_forever()
PY
