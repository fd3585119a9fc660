package doctor

import "testing"

func TestWhatImageAutomationSaysOfAPushThatTheServerDeclines(t *testing.T) {
	for words, want := range map[string]bool{
		"failed to push to remote: command error on refs/heads/main: protected branch hook declined": true,
		"failed to push to remote: pre-receive hook declined":                                        true,
		"failed to push to remote: authentication required":                                          false,
		"failed to push to remote: non-fast-forward update: refs/heads/main":                         false,
	} {
		if got := declines(words); got != want {
			t.Errorf("%q: %t, want %t", words, got, want)
		}
	}
}
