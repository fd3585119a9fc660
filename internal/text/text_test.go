package text

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

func TestOneLine(t *testing.T) {
	for name, tt := range map[string]struct{ in, want string }{
		"what can be seen":         {"manifest unknown", "manifest unknown"},
		"lines and tabs":           {" a\r\n\tb \n", "a b"},
		"the ends of lines":        {"a\u0085b\u2028c\u2029d", "a b c d"},
		"a cursor that is moved":   {"a\x1b[2Jb\x07", "a[2Jb"},
		"C1 controls":              {"a\u009b31mb", "a31mb"},
		"the direction is turned":  {"a\u202eb\u202d\u2066c\u2069\u200e\u200f", "abc"},
		"hidden text":              {"a\u200b\ufeff\u00ad\u2060b", "ab"},
		"tags":                     {"a\U000e0041\U000e007fb", "ab"},
		"private use":              {"a\ue000\U000f0000b", "ab"},
		"no UTF-8":                 {"a\xff\xc3b\ufffd", "ab"},
		"blanks of other widths":   {"a\u00a0\u3000 b", "a b"},
		"emoji that are joined":    {"👩\u200d🚀", "👩\u200d🚀"},
		"other scripts":            {"Привет 世界 שלום", "Привет 世界 שלום"},
		"nothing":                  {"", ""},
		"nothing that can be seen": {"\x00\u202e\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := OneLine(tt.in); got != tt.want {
				t.Errorf("%q becomes %q, want %q", tt.in, got, tt.want)
			}
		})
	}
}

func TestVisibleKeepsColumns(t *testing.T) {
	if got, want := Visible("  a   b\u202e\n\tc\x1b "), "  a   b   c  "; got != want {
		t.Errorf("it becomes %q, want %q", got, want)
	}
}

func TestVisibleBreaksCommandsOfCIServers(t *testing.T) {
	for in, want := range map[string]string{
		"x ##[set-output name=a;]b":          "x ## [set-output name=a;]b",
		"##vso[task.setvariable variable=A]": "## vso[task.setvariable variable=A]",
		"é ##teamcity[buildStop]":            "é ## teamcity[buildStop]",
		"#\u200b#[group]":                    "# #[group]",
		"## a [link]":                        "## a [link]",
	} {
		if got := Visible(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

func TestCut(t *testing.T) {
	for _, tt := range []struct {
		in   string
		n    int
		want string
	}{
		{"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"äöüß", 3, "äö…"}, {"a bcd", 3, "a…"}, {"👩\u200d🚀x", 3, "👩…"}, {"abc", 1, "…"},
		{"abc", 0, ""}, {"abc", -1, ""}, {"", 0, ""}, {"", -1, ""},
	} {
		if got := Cut(tt.in, tt.n); got != tt.want {
			t.Errorf("%d of %q are %q, want %q", tt.n, tt.in, got, tt.want)
		}
	}
	for _, tt := range []struct {
		in   string
		n    int
		want string
	}{
		{"abcdef", 6, "abcdef"}, {"abcdefg", 6, "abc…"}, {"äöüß", 6, "ä…"}, {"abcd", 3, "…"}, {"abcd", 2, ""}, {"", 0, ""},
	} {
		if got := CutBytes(tt.in, tt.n); got != tt.want {
			t.Errorf("%d bytes of %q are %q, want %q", tt.n, tt.in, got, tt.want)
		}
	}
}

// kept are secrets in the places where errors have them, and what is to be left.
var kept = map[string]string{
	`Post "https://hooks.slack.com/actions/T0/1/abc": EOF`:                                                           `Post "[redacted]": EOF`,
	`dial wss://wss-primary.slack.com/link/?ticket=1-2&app_id=A: n`:                                                  `dial [redacted] n`,
	`token xoxb-1-2-abc and xapp-1-A0-3-def`:                                                                         `token [redacted] and [redacted]`,
	`a rotated xoxe.xoxb-1-abc or xoxe-1-abc`:                                                                        `a rotated [redacted] or [redacted]`,
	`proxyconnect http://user:pass@proxy:3128: refused`:                                                              `proxyconnect http:[redacted]proxy:3128: refused`,
	`clone https://ghp_0123456789abcdefghij0123@github.com/a/b`:                                                      `clone [redacted]github.com/a/b`,
	`github_pat_11ABCDEFG0123456789_abcdef and glpat-0123456789ab`:                                                   `[redacted] and [redacted]`,
	`Authorization: Bearer abc.def`:                                                                                  `[redacted]`,
	`proxy-authorization: Basic dXNlcjpwYXNz`:                                                                        `[redacted]`,
	`sent Bearer 0123456789012345678901==`:                                                                           `sent [redacted]`,
	`eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.sig of AKIA0123456789ABCDEF`:                                               `[redacted] of [redacted]`,
	`gldt-0123456789ab, glrt-0123456789ab, gloas-0123456789abcdef`:                                                   `[redacted], [redacted], [redacted]`,
	`ATBB0123456789abcdefghij0123 or dckr_pat_0123456789abcdefghij`:                                                  `[redacted] or [redacted]`,
	`ASIA0123456789ABCDEF, hvs.0123456789abcdefghij0`:                                                                `[redacted], [redacted]`,
	`a%3Aghp_0123456789abcdefghij0123%40github.com`:                                                                  `a[redacted]%40github.com`,
	`login?to=https%3A%2F%2Fme%3Apass%40git.test%2Fa`:                                                                `login?to=https%3A[redacted]git.test%2Fa`,
	`GET https://s3.test/b?X-Amz-Credential=AK%2F1&X-Amz-Signature=0a`:                                               `GET https://s3.test/b?[redacted]&[redacted]`,
	`403 {"message":"no","private_token":"0123","Token": "4567"}`:                                                    `403 {"message":"no",[redacted]",[redacted]"}`,
	`{\"auth\":\"0123\"}`:                                                                                            `{[redacted]\"}`,
	`GET https://git.test/a?private_token=0123&ref=main`:                                                             `GET https://git.test/a?[redacted]&ref=main`,
	`{"Authorization":"Basic dXNlcjpwYXNz"}`:                                                                         `{"[redacted]"}`,
	`map[Authorization:[Basic dXNlcjpwYXNz] Accept:[*/*]]`:                                                           `map[[redacted] Accept:[*/*]]`,
	`the header was: Basic dXNlcjpwYXNz, said the proxy`:                                                             `the header was: Basic [redacted], said the proxy`,
	`auth dXNlcjpwYXNzd29yZDEyMw== is wrong`:                                                                         `auth [redacted] is wrong`,
	`parse "https://me:pa/ss^@git.test": invalid`:                                                                    `parse "https:[redacted]git.test": invalid`,
	`http://me:p@ss@proxy.test:3128/`:                                                                                `http:[redacted]proxy.test:3128/`,
	"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1r\n-----END OPENSSH PRIVATE KEY-----":                           `[redacted]`,
	`key -----BEGIN RSA PRIVATE KEY----- MIIE`:                                                                       `key [redacted]`,
	`pull access denied, repository does not exist or may require authorization: server message: insufficient_scope`: `pull access denied, repository does not exist or may require authorization: server message: insufficient_scope`,
	`failed to fetch anonymous token: unexpected status`:                                                             `failed to fetch anonymous token: unexpected status`,
	`http://localhost:5000/app@sha256:0123 and production/backend-1`:                                                 `http://localhost:5000/app@sha256:0123 and production/backend-1`,
	`basic authentication is required`:                                                                               `basic authentication is required`,
	`ssh://git@github.com/a/b: invalid_auth at 12:30`:                                                                `ssh://git@github.com/a/b: invalid_auth at 12:30`,
}

func TestMask(t *testing.T) {
	for in, want := range kept {
		if got := Mask(in); got != want {
			t.Errorf("%q is masked as %q, want %q", in, got, want)
		}
	}
}

func FuzzOneLine(f *testing.F) {
	for _, s := range []string{"", "a b", "a\u202eb", "a\r\n\x1b[31mb", "\xff\xfe", "👩\u200d🚀"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got := OneLine(in)
		if !utf8.ValidString(got) || OneLine(got) != got {
			t.Fatalf("%q becomes %q, which is no line", in, got)
		}
		for _, r := range got {
			if r != '\u200c' && r != '\u200d' && (unicode.Is(unicode.C, r) && unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Cf, r) ||
				unicode.IsSpace(r) && r != ' ' || r == utf8.RuneError) {
				t.Fatalf("%q leaves %U", in, r)
			}
		}
		if strings.Contains(got, "  ") || strings.TrimSpace(got) != got {
			t.Fatalf("%q becomes %q, with blanks that say nothing", in, got)
		}
	})
}

func FuzzCut(f *testing.F) {
	f.Add("abcdef", 3)
	f.Add("äöü👩\u200d🚀", 4)
	f.Add("\xff\xfe", 1)
	f.Fuzz(func(t *testing.T, in string, n int) {
		got := Cut(in, n)
		if c := utf8.RuneCountInString(got); c > max(n, 0) && got != "" || got != in && !strings.HasPrefix(in, strings.TrimSuffix(got, "…")) {
			t.Fatalf("%d of %q are %q", n, in, got)
		}
		if utf8.ValidString(in) && !utf8.ValidString(got) {
			t.Fatalf("%q is cut within a character: %q", in, got)
		}
		short := CutBytes(in, n)
		if len(short) > max(n, 0) || utf8.ValidString(in) && !utf8.ValidString(short) {
			t.Fatalf("%d bytes of %q are %q", n, in, short)
		}
	})
}

func FuzzMask(f *testing.F) {
	for in := range kept {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got := Mask(in)
		if Mask(got) != got {
			t.Fatalf("%q is masked as %q, and that again as %q", in, got, Mask(got))
		}
		if m := secrets.FindString(got); m != "" {
			t.Fatalf("%q is masked as %q, which holds %q", in, got, m)
		}
	})
}

// examples have each sign of a secret once.
var examples = []string{
	"ws://h/a", "wss://h/a", "https://hooks.slack.com/a", "ticket=1", "xoxb-1", "xapp-1",
	"gho_0123456789abcdefghij", "ghp_0123456789abcdefghij", "ghs_0123456789abcdefghij", "ghu_0123456789abcdefghij",
	"ghr_0123456789abcdefghij", "github_pat_0123456789abcdefghij",
	"glpat-0123456789", "gldt-0123456789", "glrt-0123456789", "glrtr-0123456789", "glptt-0123456789", "glcbt-0123456789",
	"glsoat-0123456789", "glagent-0123456789", "glft-0123456789", "glimt-0123456789", "glffct-0123456789",
	"gloas-0123456789", "glwt-0123456789",
	"ATBB0123456789abcdefghij", "ATCTT30123456789abcdefghij", "ATATT30123456789abcdefghij",
	"dckr_pat_0123456789abcdefghij", "npm_0123456789abcdefghij0123456789abcdef", "AKIA0123456789ABCDEF",
	"ASIA0123456789ABCDEF", "AIza0123456789abcdefghij0123456789abcde", "ya29.0123456789abcdefghij",
	"hvs.0123456789abcdefghij", "hvb.0123456789abcdefghij", "AGE-SECRET-KEY-10123456789ABCDEFGHIJ",
	"eyJhbGciOiJI.e30.sig", "-----BEGIN PRIVATE KEY-----", "Authorization: Basic YQ==", "Bearer 0123456789abcdefghij",
	"Basic 0123456789abcdefghij", "token=1", "access_token=1", "api_key=1", "apikey=1", "client_secret=1", "passwd=1",
	"password=1", "sig=1", "X-Goog-Signature=1", "X-Amz-Credential=1", `"id_token":"1"`, `\"id_token\":\"1\"`,
	`"password":"1"`, `\"password\":\"1\"`, `"client_secret":"1"`, `\"secret\":\"1\"`, `"auth":"1"`, `\"auth\":\"1\"`,
	`"private_key":"1"`, "http://me:1@h", "%2F%2Fme%3A1%40h", "pa\u017fsword=1", "to\u212aen=1",
}

// A text without a sign is not looked through, so that a sign that is spelled wrong lets a secret pass.
func TestEverySignIsThatOfASecret(t *testing.T) {
	for _, example := range examples {
		if got := Mask(example); !strings.Contains(got, Redacted) {
			t.Errorf("%q is masked as %q", example, got)
		}
	}
	for _, f := range forms {
		for _, sign := range f.signs {
			has := func(example string) bool { return strings.Contains(strings.ToLower(example), sign) }
			if !slices.ContainsFunc(examples, has) {
				t.Errorf("the sign %q has no example", sign)
			}
		}
	}
}

// BenchmarkMask masks what a kubelet says, as every card, log line and record does many times.
func BenchmarkMask(b *testing.B) {
	const pull = `Back-off pulling image "ghcr.io/acme/backend:v1.2.3": ErrImagePull: failed to pull and unpack image: not found`
	for name, in := range map[string]string{
		"a message":                   pull,
		"a long text":                 strings.Repeat(pull+"\n", 100),
		"a message that has a secret": pull + " at https://jane:secret@ghcr.io",
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(in)))
			for b.Loop() {
				Mask(in)
			}
		})
	}
}

func TestShort(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "0123456789ab": "0123456789ab", "0123456789abcdef": "0123456789ab", "main": "main",
	} {
		if got := Short(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{
		"": "", "sha256:0123456789abcdef": "sha256:0123456789ab", "sha256:01": "sha256:01", "0123456789abcdef": "0123456789abcdef",
	} {
		if got := ShortDigest(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

func TestDayIsToldWhereTheTimeAloneCouldBeAnother(t *testing.T) {
	now := time.Date(2026, 11, 21, 14, 30, 0, 0, time.UTC)
	for after, want := range map[time.Duration]string{
		time.Hour: "", 12*time.Hour - time.Second: "", 12 * time.Hour: "22 Nov ", 72 * time.Hour: "24 Nov ", -time.Hour: "",
	} {
		if got := Day(now.Add(after), now); got != want {
			t.Errorf("after %s: %q, want %q", after, got, want)
		}
	}
}

func TestTheLogHoldsNoSecret(t *testing.T) {
	const secret = "glpat-abcdefghij0123456789"
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{ReplaceAttr: MaskAttr}))
	log.Error("walk failed with https://bot:"+secret+"@git.example.com/fleet",
		"error", fmt.Errorf("push: https://bot:%s@git.example.com/fleet: 401", secret), "url", "https://bot:"+secret+"@git.example.com",
		slog.Group("by", "token", "token="+secret), "after", time.Second)
	if got := out.String(); strings.Contains(got, secret) || !strings.Contains(got, "401") || !strings.Contains(got, `"after":1000000000`) {
		t.Errorf("logged %s", got)
	}
}
