#!/bin/sh
# Fills the folder HOME with what run.py needs: the peers' environment (venv/), the networks in each peer's form (cache/) and a
# data root with the random checkpoint (data/). What is there already stays, so a broken run can be started again.
#
#     bench/peers/setup.sh HOME [PYTHON]
#
# 20 GB and half an hour on two cores; HOME must be outside the repository. Nothing but packages is downloaded.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../.." && pwd)
home=$(realpath -m "${1:?which folder? setup.sh HOME [PYTHON]}")
python=${2:-python3}

case "$home/" in
    "$repository"/*)
        echo "$home is inside the repository; choose a folder outside" >&2
        exit 2
        ;;
esac

mkdir -p "$home"
[ -x "$home/venv/bin/python" ] || "$python" -m venv "$home/venv"
"$home/venv/bin/pip" install --quiet -r "$here/requirements.txt"
"$home/venv/bin/python" "$here/export.py" "$home/cache"
mkdir -p "$home/data/models/Stable-diffusion"
ln -sf "$home/cache/full_width.safetensors" "$home/data/models/Stable-diffusion/full_width.safetensors"
