#!/bin/sh
# Make sure there is a Chromium for the browser tests. Never fails: the tests say what is missing.
command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "Installing Debian's Chromium for the browser tests ..."
  export DEBIAN_FRONTEND=noninteractive
  (apt-get update -q && apt-get install -y -q --no-install-recommends chromium fonts-dejavu-core) >/dev/null 2>&1 && exit 0
fi
echo "No Chromium could be installed; the browser tests will be skipped."
