package wire

import (
	"strings"
	"testing"
)

func FuzzWords(f *testing.F) {
	f.Add("https://user:pass@host/x said\x1b[31m no\n", "pass")
	f.Fuzz(func(t *testing.T, text, secret string) {
		r := &Redactor{}
		r.add(secret)
		got := r.Clean(text, 200)
		if strings.ContainsAny(got, "\n\r\x1b\u2028") || len([]rune(got)) > 200 {
			t.Errorf("clean gives %q", got)
		}
		if len(secret) >= 4 && strings.Contains(got, secret) && !strings.Contains(redacted, secret) && OneLine(secret, 200) == secret {
			t.Errorf("%q is in %q", secret, got)
		}
	})
}
