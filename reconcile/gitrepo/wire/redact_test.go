package wire

import (
	"strings"
	"testing"
)

func TestNoFormOfASecretIsLeft(t *testing.T) {
	r := &Redactor{}
	r.addLogin("bot", `p"a&s+s/wörd`)
	r.add("-----BEGIN KEY-----\nMIIEowIBAAKCAQEA0123\n-----END KEY-----")
	for _, said := range []string{
		`p"a&s+s/wörd`, `p%22a%26s%2Bs%2Fw%C3%B6rd`, `p%22a%26s%2bs%2fw%c3%b6rd`, `{"password":"p\"a\u0026s+s/wörd"}`, `p&#34;a&amp;s+s/wörd`,
		`Authorization: Basic Ym90OnAiYSZzK3Mvd8O2cmQ=`, `cCJhJnMrcy93w7ZyZA==`, `cCJhJnMrcy93w7ZyZA`, `Ym90OnAiYSZzK3Mvd8O2cmQ`,
		"line 2 is MIIEowIBAAKCAQEA0123", `a JWT: eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiIxIn0.c2ln`, `glpat-0123456789abcdefghij of somebody else`,
	} {
		if got := r.Clean("the server says: "+said+" is no login", 300); !strings.Contains(got, redacted) || strings.Contains(got, "rd ") && !strings.Contains(got, "word") ||
			strings.Contains(got, "MIIE") || strings.Contains(got, "Ym90") || strings.Contains(got, "cCJh") {
			t.Errorf("%q is left in %q", said, got)
		}
	}
}

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
