#!/usr/bin/env bash
# What must hold of a checkout beside its tests. Each step says its name and how
# long it took; the first that fails ends the run. Nothing here writes to the
# checkout.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tool() { go tool -modfile=scripts/tools/go.mod "$@"; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Deep copies and CRDs are what controller-gen writes from the types.
generated() {
	tool controller-gen object:headerFile=scripts/boilerplate.go.txt paths=./api/... "output:object:dir=$scratch/api" \
		crd paths=./api/... "output:crd:dir=$scratch/crds" || return
	diff -u api/v1alpha1/zz_generated.deepcopy.go "$scratch/api/zz_generated.deepcopy.go" &&
		diff -ru --exclude=kustomization.yaml deploy/kustomize/crds "$scratch/crds" ||
		{ echo "generated files are not what the types say: run make generate" >&2; return 1; }
	# Flux's, for the tests, are what it writes from the modules that go.mod names.
	test/testenv/crds/generate.sh --check
}

format() {
	local files
	files=$(git ls-files -z --cached --others --exclude-standard -- '*.go' | xargs -0 ls -d 2>/dev/null | xargs gofmt -l) || return
	[ -z "$files" ] || { printf 'gofmt -w %s\n' "${files//$'\n'/ }" >&2; return 1; }
}

vet() { go vet ./... && go vet -tags e2e,browser,release,providers,support,controllers ./...; }

lint() { tool golangci-lint run ./...; }

tidy() { go mod tidy -diff && go mod verify >/dev/null; }

imports() { go test ./test/imports; }

# Each alert fires when it should and not before, and each metric is named as Prometheus wants it, as promtool sees it.
alerts() {
	local promtool
	promtool=$(scripts/promtool.sh) || return
	sed -e '1,/^spec:/d' -e 's/^  //' deploy/monitoring/prometheusrule.yaml >"$scratch/alerts.yaml"
	cp deploy/monitoring/prometheusrule_test.yaml "$scratch/"
	"$promtool" check rules "$scratch/alerts.yaml" && "$promtool" test rules "$scratch/prometheusrule_test.yaml" || return
	go test -count 1 -run '^TestMetricsFollowPrometheusRules$' ./test/monitoring -metrics "$scratch/metrics" &&
		"$promtool" check metrics <"$scratch/metrics"
}

# shellcheck and pyflakes are not on every machine: without them the answer is the same everywhere. zizmor comes by no
# registry that every machine reaches: where it is there it is asked too, and test/workflows has the rules that count.
workflows() {
	go tool -modfile=scripts/tools/actionlint/go.mod actionlint -shellcheck= -pyflakes= && go test ./test/workflows || return
	if command -v zizmor >/dev/null; then
		zizmor --offline --quiet .github deploy/ci
	else
		echo "zizmor is not in PATH: test/workflows alone has looked"
	fi
}

# Unreachable is said, not failed: a machine without that network cannot do better.
vulnerabilities() {
	if ! curl -fsS --connect-timeout 5 --max-time 15 -o /dev/null https://vuln.go.dev/index/db.json 2>/dev/null; then
		echo "the vulnerability database cannot be reached: not checked"
		return
	fi
	tool govulncheck ./...
}

for step in ${*:-generated format vet lint tidy imports alerts workflows vulnerabilities}; do
	printf '== %s\n' "$step"
	start=$SECONDS
	"$step" || { printf '== %s failed after %d s\n' "$step" $((SECONDS - start)) >&2; exit 1; }
	printf '== %s: %d s\n' "$step" $((SECONDS - start))
done
