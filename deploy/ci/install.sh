#!/usr/bin/env bash
# Downloads the commands of a release and checks them, where there is no backstop in the PATH yet.
#
#   VERSION   release, such as v0.1.0
#   INTO      folder that backstop is put into; ~/.local/bin when empty
#   RELEASES  where releases are, for a mirror
set -euo pipefail

command -v backstop >/dev/null && exit
into=${INTO:-$HOME/.local/bin}
case $(uname -s) in
Linux) os=linux ;;
Darwin) os=darwin ;;
*) echo "there is no archive for $(uname -s) that this script can unpack: put backstop into the PATH first" >&2; exit 1 ;;
esac
case $(uname -m) in
x86_64) arch=amd64 ;;
aarch64 | arm64) arch=arm64 ;;
*) echo "there is no archive for $(uname -m): put backstop into the PATH first" >&2; exit 1 ;;
esac
archive=backstop_${VERSION#v}_${os}_$arch.tar.gz
from=${RELEASES:-https://github.com/backstop-dev/backstop/releases/download}/$VERSION

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for file in "$archive" checksums.txt; do
	curl -fsSL --retry 3 -o "$scratch/$file" "$from/$file"
done
cd "$scratch"
sums=(sha256sum)
command -v sha256sum >/dev/null || sums=(shasum -a 256)
grep "  $archive\$" checksums.txt | "${sums[@]}" -c - >/dev/null ||
	{ echo "$archive is not the file that $from/checksums.txt names" >&2; exit 1; }
mkdir -p "$into"
tar -xzf "$archive" -C "$into" backstop
echo "backstop $VERSION is in $into"
