#!/bin/bash
# Google's own auth library for Python, with which to read what lanyard hands over.
#
#   up.sh VENV [KEY_FILE]
#
# VENV is made and filled if it is not there. With KEY_FILE, gets a token with it and prints account and token.
set -euo pipefail
venv=$1 key_file=${2-}
readonly version=2.62.2

if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c 'import google.auth, requests' 2>/dev/null; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "google-auth==$version" requests
fi
[ -n "$key_file" ] || exit 0

GOOGLE_APPLICATION_CREDENTIALS=$key_file exec "$venv/bin/python" -c '
import google.auth, google.auth.transport.requests
found, project = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
found.refresh(google.auth.transport.requests.Request())
print(found.service_account_email, project, found.token)'
