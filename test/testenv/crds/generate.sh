#!/usr/bin/env bash
# Writes the Flux CRDs beside this script, out of the api modules that go.mod
# names. With --check it only says whether they are up to date. With --older it
# writes those of the releases of Flux that are supported beside it, which need
# the network and change only when this script names others.
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

# The newest api modules of each release.
declare -A older=(
	[2.7]="source-controller/api@v1.7.4 kustomize-controller/api@v1.7.3 helm-controller/api@v1.4.5
		image-reflector-controller/api@v1.0.4 image-automation-controller/api@v1.0.4 notification-controller/api@v1.7.5"
	[2.8]="source-controller/api@v1.8.5 kustomize-controller/api@v1.8.5 helm-controller/api@v1.5.5
		image-reflector-controller/api@v1.1.1 image-automation-controller/api@v1.1.4 notification-controller/api@v1.8.4"
)
if [ "${1:-}" = --older ]; then
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	go build -modfile=scripts/tools/go.mod -o "$work/controller-gen" sigs.k8s.io/controller-tools/cmd/controller-gen
	for release in "${!older[@]}"; do
		mkdir "$work/$release"
		cd "$work/$release"
		{
			printf 'module crds\n\ngo 1.26.0\n\nrequire (\n'
			for module in ${older[$release]}; do printf '\tgithub.com/fluxcd/%s\n' "${module/@/ }"; done
			printf ')\n'
		} >go.mod
		{
			printf 'package crds\n\nimport (\n'
			printf '\t_ "%s"\n' "${packages[@]}"
			printf ')\n'
		} >crds.go
		GOFLAGS=-mod=mod go mod tidy
		for package in "${packages[@]}"; do
			"$work/controller-gen" crd:allowDangerousTypes=true,maxDescLen=0 "paths=$package" output:crd:dir=all >/dev/null
		done
		rm -rf "${here:?}/$release"
		mkdir "$here/$release"
		for module in ${older[$release]}; do printf 'github.com/fluxcd/%s\n' "${module/@/ }"; done >"$here/$release/versions.txt"
		for file in all/*.yaml; do
			if [[ $file =~ $kinds ]]; then mv "$file" "$here/$release/"; fi
		done
	done
	exit
fi

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
	diff -r -u --exclude=generate.sh --exclude='[0-9]*' "$here" "$out" || {
		echo "the Flux CRDs are not those of go.mod: run test/testenv/crds/generate.sh" >&2
		exit 1
	}
	exit
fi
rm -f "$here"/*.yaml
cp "$out"/* "$here/"
