#!/bin/sh
# What some tests need from the system: a browser, Node, PortAudio, synthesisers. Where they cannot be installed, those tests
# skip and say why; with CI=true a missing browser is a failure (tests/conftest.py).
set -u

missing() {
    command -v chromium >/dev/null 2>&1 || echo chromium
    command -v node >/dev/null 2>&1 || echo nodejs
    command -v espeak-ng >/dev/null 2>&1 || echo espeak-ng
    command -v flite >/dev/null 2>&1 || echo flite
    command -v festival >/dev/null 2>&1 || echo festival festvox-kallpc16k festvox-kdlpc16k festvox-us-slt-hts
    [ -d /usr/share/festival/voices/italian ] || echo festvox-italp16k
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
