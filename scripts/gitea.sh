#!/usr/bin/env bash
# Brings the Gitea that the provider tests run against into the user's cache
# folder, built from its Go module, and prints that folder: the server, and the
# templates that it reads when it starts. What is there already is not touched again.
#
#   BACKSTOP_CACHE    where to keep it (default: the user's cache folder)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
version=$(sed -n 's/^require code.gitea.io\/gitea //p' "$here/gitea/go.mod")
cache=${BACKSTOP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/backstop}
dir=$cache/gitea/$version

mkdir -p "$dir"
exec 9>"$dir/.lock"
if command -v flock >/dev/null; then flock 9; fi
if [ ! -x "$dir/gitea" ]; then
	printf 'gitea: building %s from its Go module (10 minutes of processor time the first time, cached in %s)\n' \
		"$version" "$dir" >&2
	cd "$here/gitea"
	GOFLAGS=-mod=readonly GOWORK=off go mod download code.gitea.io/gitea
	from=$(GOFLAGS=-mod=readonly GOWORK=off go list -m -f '{{.Dir}}' code.gitea.io/gitea)
	rm -rf "$dir/static"
	mkdir -p "$dir/static"
	cp -R "$from/templates" "$from/options" "$from/public" "$dir/static/"
	chmod -R u+w "$dir/static"
	GOFLAGS=-mod=readonly GOWORK=off CGO_ENABLED=1 go build -trimpath -tags 'sqlite sqlite_unlock_notify' \
		-ldflags "-s -w -X main.Version=${version#v}" -o "$dir/gitea.part" code.gitea.io/gitea
	mv "$dir/gitea.part" "$dir/gitea"
fi
printf '%s\n' "$dir"
