#!/usr/bin/env bash
# Compares the scenarios that test/scenarios.txt promises with the tests that
# exist, and prints what is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

have=$(go test -tags browser,release,providers,support,controllers -list . ./reconcile/... ./watcher/... ./test/... ./notify/... ./gate/... ./cmd/... ./scripts/... | grep '^Test' | sort -u)
total=0 missing=0
while IFS=$'\t' read -r name sentence; do
	case $name in '' | '#'*) continue ;; esac
	total=$((total + 1))
	grep -qx "$name" <<<"$have" && continue
	missing=$((missing + 1))
	printf 'missing: %s  (%s)\n' "$name" "$sentence"
done <test/scenarios.txt
echo "$((total - missing)) of $total scenarios have their test"
[ "$missing" = 0 ]
