#!/bin/sh
# Makes .venv exactly as requirements.lock says; run by `make env`.
# .venv/.complete is written last, so an environment left half-made is made anew.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

stop() {
    echo "metergate: $*" >&2
    exit 1
}

command -v "$python" >/dev/null 2>&1 ||
    stop "$python not found. Install Python 3.11 or newer (Debian: apt install python3 python3-venv)."
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    stop "$("$python" -V) is too old; 3.11 or newer is needed. Name another with: make PYTHON=python3.12 …"
"$python" -c 'import venv, ensurepip' 2>/dev/null ||
    stop "$python has no venv module. Install it (Debian: apt install python3-venv)."

if ! [ -e .venv/.complete ] || ! cmp -s requirements.lock .venv/.lock || ! .venv/bin/python -c '' 2>/dev/null; then
    echo "metergate: making .venv from requirements.lock (about a minute, once)"
    rm -rf .venv
    echo "metergate: 1 of 3, $("$python" -V) makes an empty environment"
    "$python" -m venv .venv
    echo "metergate: 2 of 3, downloading and installing $(grep -c '^[a-z0-9].*==' requirements.lock) packages, hashes checked"
    .venv/bin/python -m pip install -qq --disable-pip-version-check --no-input --require-hashes -r requirements.lock
    cp requirements.lock .venv/.lock
fi
echo "metergate: 3 of 3, installing metergate itself"
rm -f .venv/.complete
.venv/bin/python -m pip install -qq --disable-pip-version-check --no-input --no-deps --no-build-isolation -e .
touch .venv/.complete
