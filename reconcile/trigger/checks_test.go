package trigger_test

import (
	"slices"
	"strings"
	"testing"
)

// A check that was not run measures nothing, in whatever words somebody on the way says so. What a test says that was
// run is its result.
func TestACheckThatWasNotRunMeasuresNothing(t *testing.T) {
	all := refusals(t)
	at := slices.IndexFunc(all, func(r refused) bool { return r.Case == "an acceptance test fails" })
	said := func(words string) string {
		t.Helper()
		if !strings.HasPrefix(words, "Halt ") {
			words = "Halt web.prod advancement external check acceptance-test failed " + words
		}
		r := all[at]
		r.Words = slices.Clone(r.Words)
		for i := range r.Words {
			if r.Words[i].Count > 0 {
				r.Words[i].Says = words
			}
		}
		_, then, _, _ := r.judge()
		return then
	}
	for _, words := range []string{
		"Internal Server Error", "read tcp 10.0.0.1:4->10.0.0.2:80: read: connection reset by peer", "connect: network is unreachable",
		"connect: no route to host", "http2: server sent GOAWAY and closed the connection", "context canceled",
		"net/http: request canceled (Client.Timeout exceeded while awaiting headers)", "upstream request timeout",
		"RBAC: access denied", "Forbidden", "unauthorized", "rate limit exceeded", "default backend - 404", `{"message":"no Route matched"}`,
		"unsupported protocol scheme", "lookup loadtester: server misbehaving", "error code: 1020", "task queue is full",
		"failed to run test: exit status 127", "failed to run test: bash: hey: command not found: exit status 127",
		"failed to run test: exec: \"helm\": executable file not found in $PATH", "failed to run test: Error: release: not found: exit status 1",
		"failed to run test: dial tcp 10.0.0.9:443: i/o timeout: exit status 1", "failed to run test: signal: killed", "503", "<!DOCTYPE html>",
		"Halt web.prod advancement success rate NaN% < 99%", "Halt web.prod advancement error-rate too many outstanding requests",
		"Halt web.prod advancement request duration could not be parsed",
	} {
		if then := said(words); then == "may revert" {
			t.Errorf("%q: it %s", words, then)
		}
	}
	for _, words := range []string{
		"failed to run test: exit status 1", "3 of 20 tests failed", "61 % of the requests fail", "expected 200, got 500", "AssertionError: cart is empty",
		"Halt web.prod advancement error-rate 7.31 > 1", "Halt web.prod advancement request duration 1.204s > 500ms",
		"Halt web.prod advancement success rate -1.00% < 99.5%", "Halt web.prod advancement queue 1e+06 > 1000",
		"command hey -z 1m http://web-canary.prod/ failed: exit status 2",
	} {
		if then := said(words); then != "may revert" {
			t.Errorf("%q: it %s", words, then)
		}
	}
}
