#!/bin/sh
# What some tests need from the system: a browser, Node, PortAudio, a synthesiser. Where they cannot be installed, those tests
# skip and say why; with CI=true a missing browser is a failure (tests/conftest.py).
set -u

missing() {
    command -v chromium >/dev/null 2>&1 || echo chromium
    command -v node >/dev/null 2>&1 || echo nodejs
    command -v espeak-ng >/dev/null 2>&1 || echo espeak-ng
    ldconfig -p 2>/dev/null | grep -q libportaudio || echo libportaudio2
}

wanted=$(missing | tr '\n' ' ')
[ -z "$wanted" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing for the tests: $wanted"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $wanted >/dev/null
    wanted=$(missing | tr '\n' ' ')
fi
[ -z "$wanted" ] || echo "Not installed, some tests will skip: $wanted"
