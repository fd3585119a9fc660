#!/usr/bin/env bash
# Prints the path of a Chromium for the tests in a browser: the one that
# CHROMIUM names, one in PATH, or else Debian's, which it installs where it may.
set -euo pipefail

for name in "${CHROMIUM:-chromium}" chromium-browser google-chrome; do
	command -v "$name" && exit
done
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	echo "there is no chromium in PATH: install it, or name one by CHROMIUM=/path/to/chromium" >&2
	exit 1
fi
echo "installing Debian's chromium" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq >&2
apt-get install -qq -y --no-install-recommends chromium fonts-noto-color-emoji >&2
command -v chromium
