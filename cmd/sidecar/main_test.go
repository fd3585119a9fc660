package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestExitCodesAndFirstLines(t *testing.T) {
	tests := map[string]struct {
		args []string
		code int
		says string
	}{
		"no cluster is one line":                  {[]string{"--kubeconfig=/nonexistent"}, exitError, "/nonexistent"},
		"it takes no arguments":                   {[]string{"now"}, exitUsage, `unknown argument "now"`},
		"a flag with a wrong value is usage":      {[]string{"--history=long"}, exitUsage, `invalid argument "long" for "--history" flag`},
		"a budget that is none is usage":          {[]string{"--budget=lots"}, exitUsage, `--budget: budget "lots": want COUNT/DURATION`},
		"a Slack host with a path is usage":       {[]string{"--slack-hosts=https://slack.example/"}, exitUsage, `--slack-hosts "https://slack.example/": want HOST or HOST:PORT`},
		"a broadcast that is none is usage":       {[]string{"--slack-broadcast=loud"}, exitUsage, `--slack-broadcast "loud": want never, failures or all`},
		"a Provider without namespace is usage":   {[]string{"--slack-provider=slack"}, exitUsage, `--slack-provider "slack": want NAMESPACE/NAME`},
		"an events address that is none is usage": {[]string{"--events-addr=nc"}, exitUsage, `--events-addr: "nc" is no URL`},
		"a commit URL without commit is usage":    {[]string{"--commit-url=https://git.example"}, exitUsage, "want a URL with {commit} in it"},
		"a mode that is none is usage":            {[]string{"--max-mode=Always"}, exitUsage, `--max-mode "Always": want Notify, Approve or Auto`},
		"authors that are none are usage":         {[]string{"--max-authors=Me"}, exitUsage, `--max-authors "Me": want`},
		"a log level that is none is usage":       {[]string{"--log-level=loud"}, exitUsage, `--log-level "loud": want`},
		"an unknown flag is usage":                {[]string{"--frob"}, exitUsage, "unknown flag: --frob"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var out, errs bytes.Buffer
			code := run(t.Context(), tt.args, &out, &errs)
			if code != tt.code || !strings.Contains(errs.String(), tt.says) {
				t.Errorf("exit code %d and %q, want %d and …%s…", code, &errs, tt.code, tt.says)
			}
			if tt.code == exitError && strings.Count(strings.TrimSpace(errs.String()), "\n") != 0 {
				t.Errorf("more than one line: %q", &errs)
			}
		})
	}
}

func TestHelpAndVersionGoToStandardOutput(t *testing.T) {
	for flag, says := range map[string]string{"--help": "--max-mode string", "--version": "backstop "} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), []string{flag}, &out, &errs); code != exitOK || !strings.Contains(out.String(), says) || errs.Len() > 0 {
			t.Errorf("%s: exit code %d, %q on standard output and %q on standard error", flag, code, &out, &errs)
		}
	}
}
