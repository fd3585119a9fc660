#!/usr/bin/env bash
# Prints the path of a promtool: the one that PROMTOOL names, one in PATH, or
# else Debian's, which it keeps in the user's cache folder without installing
# Prometheus itself.
set -euo pipefail

command -v "${PROMTOOL:-promtool}" && exit
cache=${XDG_CACHE_HOME:-$HOME/.cache}/backstop/promtool
if [ ! -x "$cache/usr/bin/promtool" ]; then
	if ! command -v apt-get >/dev/null; then
		echo "there is no promtool in PATH: install it, or name one by PROMTOOL=/path/to/promtool" >&2
		exit 1
	fi
	echo "fetching promtool from Debian's package prometheus" >&2
	scratch=$(mktemp -d)
	trap 'rm -rf "$scratch"' EXIT
	cd "$scratch"
	# A stale list of packages names files that are gone; only root may read it anew.
	[ "$(id -u)" != 0 ] || apt-get update -qq >&2
	apt-get download -qq prometheus >&2
	mkdir -p "$cache"
	dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x -C "$cache" ./usr/bin/promtool
fi
echo "$cache/usr/bin/promtool"
