#!/bin/sh
# Sees to it that the servers the tests talk to are installed; run by `make servers`.
# Installs Debian's packages where it may (root, or sudo without a password), else says what to install.
set -eu
packages="mosquitto victoria-metrics"
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

missing() {
    for name in $packages; do
        command -v "$name" >/dev/null 2>&1 || printf '%s ' "$name"
    done
}

install_as_root() {
    # The tests start their own servers: a package's service must not start by itself.
    policy=/usr/sbin/policy-rc.d
    if ! [ -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        trap 'exit 1' HUP INT TERM
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq -o DPkg::Lock::Timeout=300 update
    # shellcheck disable=SC2086  # one word a package
    apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends $packages </dev/null
}

if [ "${1:-}" = --install ]; then
    install_as_root
    exit
fi

[ -n "$(missing)" ] || exit 0
if command -v apt-get >/dev/null 2>&1; then
    if [ "$(id -u)" = 0 ]; then
        echo "metergate: installing $(missing)from Debian's packages"
        sh "$0" --install >/dev/null || true
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        echo "metergate: installing $(missing)from Debian's packages"
        sudo -n sh "$0" --install >/dev/null || true
    fi
fi
if [ -n "$(missing)" ]; then
    echo "metergate: the tests need $(missing)on the PATH; install them (Debian: apt install $packages) and run again." >&2
    exit 1
fi
