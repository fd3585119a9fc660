#!/usr/bin/env bash
# Writes the Flux CRDs beside this script, out of the api modules that go.mod
# names. With --check it only says whether they are up to date.
#
# They are committed, without their descriptions, so that a test needs neither
# controller-gen nor a network; versions.txt says what they were made from, and
# a test compares it with go.mod.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../../.."
packages=(
	github.com/fluxcd/source-controller/api/v1
	github.com/fluxcd/kustomize-controller/api/v1
	github.com/fluxcd/helm-controller/api/v2
	github.com/fluxcd/image-reflector-controller/api/v1
	github.com/fluxcd/image-automation-controller/api/v1
	github.com/fluxcd/notification-controller/api/v1beta3
)
kinds='_(gitrepositories|ocirepositories|buckets|kustomizations|helmreleases|imagerepositories|imagepolicies|imageupdateautomations|providers|alerts)\.yaml$'

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
for package in "${packages[@]}"; do
	go tool -modfile=scripts/tools/go.mod controller-gen \
		crd:allowDangerousTypes=true,maxDescLen=0 "paths=$package" "output:crd:dir=$out/all" >/dev/null
	module=${package%/v*}
	go list -m -f '{{.Path}} {{.Version}}' "$module" >>"$out/versions.txt"
done
for file in "$out"/all/*.yaml; do
	if [[ $file =~ $kinds ]]; then mv "$file" "$out/"; fi
done
rm -r "$out/all"

if [ "${1:-}" = --check ]; then
	diff -r -u --exclude=generate.sh "$here" "$out" || {
		echo "the Flux CRDs are not those of go.mod: run test/testenv/crds/generate.sh" >&2
		exit 1
	}
	exit
fi
rm -f "$here"/*.yaml
cp "$out"/* "$here/"
