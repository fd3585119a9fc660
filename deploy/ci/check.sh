#!/usr/bin/env bash
# Checks the images that a change brings in. The Action and the GitLab template run this; so can any other CI.
#
#   BASE    branch or commit that the change goes to, fetched from origin; empty checks everything
#   PATHS   what to check, words; the whole repository when empty
#   FORMAT  how to report, see backstop check --help; text when empty
#   REPORT  file for the report; standard output when empty
#   ARGS    further flags of backstop check, words
set -euo pipefail

args=(-o "${FORMAT:-text}")
if [ -n "${REPORT:-}" ]; then
	args+=(--output-file "$REPORT")
fi
if [ -n "${BASE:-}" ]; then
	# A clone that CI makes is shallow and has one branch.
	git fetch --quiet --no-tags --depth=1 origin "$BASE"
	args+=(--base FETCH_HEAD)
fi
read -ra more <<<"${ARGS:-}"
read -ra paths <<<"${PATHS:-}"
exec backstop check "${args[@]}" ${more[@]+"${more[@]}"} ${paths[@]+"${paths[@]}"}
