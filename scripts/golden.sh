#!/usr/bin/env bash
# Writes golden files anew: runs the packages whose tests know -update with it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

packages=$(git grep -l --untracked 'flag\.Bool("update"' -- '*_test.go' | xargs -r -n1 dirname | sort -u | sed 's|^|./|')
[ -n "$packages" ] || { echo "no test has golden files"; exit; }
# shellcheck disable=SC2086
go test -count 1 $packages -update
git status --short -- '*testdata*'
