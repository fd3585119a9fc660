package classify

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// captured are the causes of testdata/pulls.tsv, which a real kubelet and containerd wrote.
var captured = map[string]v1alpha1.Cause{
	"blobless": v1alpha1.CauseBlobMissing,
	"d403":     v1alpha1.CauseUnauthorized,
	"digest":   v1alpha1.CauseNotFound,
	"dns":      v1alpha1.CauseRegistryUnavailable,
	"never":    v1alpha1.CauseNeverPulled,
	"norepo":   v1alpha1.CauseNotFound,
	"notfound": v1alpha1.CauseNotFound,
	"platform": v1alpha1.CausePlatformMismatch,
	"r429":     v1alpha1.CauseRateLimited,
	"refused":  v1alpha1.CauseRegistryUnavailable,
	"s500":     v1alpha1.CauseRegistryUnavailable,
	"s503":     v1alpha1.CauseRegistryUnavailable,
	"tls":      v1alpha1.CauseRegistryUnavailable,
	"u401":     v1alpha1.CauseUnauthorized,
}

func TestEveryCapturedPullHasItsCause(t *testing.T) {
	seen := map[string]bool{}
	for _, row := range rows(t, "testdata/pulls.tsv", 3) {
		name, reason, message := row[0], row[1], row[2]
		seen[name] = true
		t.Run(name+" "+reason, func(t *testing.T) {
			check(t, captured[name], reason, message)
		})
		t.Run(name+" as an event", func(t *testing.T) {
			if rest, ok := strings.CutPrefix(message, "rpc error"); ok {
				check(t, captured[name], "Failed", `Failed to pull image "x:v1": rpc error`+rest)
			}
		})
	}
	for name := range captured {
		if !seen[name] {
			t.Errorf("testdata/pulls.tsv lacks %s", name)
		}
	}
}

func TestNoPullGivesAFalseBlame(t *testing.T) {
	for _, file := range []string{"testdata/reported.tsv", "testdata/composed.tsv"} {
		for _, row := range rows(t, file, 4) {
			reason, message := row[2], strings.ReplaceAll(row[3], `\n`, "\n")
			whose, words, _ := strings.Cut(row[0], ":")
			cause := v1alpha1.Cause(words)
			t.Run(row[1]+" "+row[0], func(t *testing.T) {
				check(t, cause, reason, message)
				if got := cause.ImageFault(); got != (whose == "own") {
					t.Errorf("%s is the image's own fault: %v, want %v", cause, got, whose == "own")
				}
			})
			if reason == "ErrImagePull" {
				t.Run(row[1]+" backing off", func(t *testing.T) {
					check(t, cause, "ImagePullBackOff", `Back-off pulling image "x:v1": ErrImagePull: `+message)
				})
			}
		}
	}
}

func TestWhatIsCalledReportedNamesItsThread(t *testing.T) {
	thread := regexp.MustCompile(`^[\w.-]+/[\w.-]+#[0-9]+$`)
	for _, row := range rows(t, "testdata/reported.tsv", 4) {
		if !thread.MatchString(row[1]) {
			t.Errorf("%q names no thread: composed.tsv is for what nobody reported", row[1])
		}
	}
}

// wording is one line of testdata/wordings.tsv.
type wording struct {
	cause                v1alpha1.Cause
	who, reason, message string
}

func wordings(t testing.TB) []wording {
	t.Helper()
	var all []wording
	for _, row := range rows(t, "testdata/wordings.tsv", 4) {
		all = append(all, wording{v1alpha1.Cause(row[0]), row[1], row[2], strings.ReplaceAll(row[3], `\n`, "\n")})
	}
	return all
}

// about fills an image into a wording.
func (w wording) about(host, path, tag string) string {
	return strings.NewReplacer("{image}", host+"/"+path+":"+tag, "{repo}", host+"/"+path,
		"{host}", host, "{path}", path, "{tag}", tag).Replace(w.message)
}

func TestEveryWordingHasItsCause(t *testing.T) {
	for _, w := range wordings(t) {
		t.Run(w.who+" says "+string(w.cause), func(t *testing.T) {
			check(t, w.cause, w.reason, w.about("registry.example.com", "team/app", "v1.2.3"))
		})
	}
}

func TestAHostileNameNeverChangesTheCause(t *testing.T) {
	parts := []string{
		"not-found", "unknown", "401-unauthorized", "denied", "unauthorized", "toomanyrequests", "429", "503", "500",
		"x509", "eof", "tls", "forbidden", "manifest", "manifest-unknown", "blob", "no-match-for-platform-in-manifest",
		"not", "found", "in", "for", "was", "unavailable", "invalid", "errimagepull", "signature", "i", "o",
	}
	for i, w := range wordings(t) {
		for j, p := range parts {
			hosts := []string{"registry.example.com", "denied.example.com:5000", "localhost:5000", p + ".io"}
			message := w.about(hosts[(i+j)%len(hosts)], "x/"+p, p)
			if got, _ := Waiting(w.reason, message); got != w.cause {
				t.Errorf("%s: %s turned %s into %s:\n%s", w.who, p, w.cause, got, message)
			}
		}
	}
}

func TestAShortHostileNameNeverChangesTheCause(t *testing.T) {
	tests := map[string]struct {
		message string
		want    v1alpha1.Cause
	}{
		"a tag that completes a phrase": {
			"reading manifest unknown in reg.io/app: unauthorized: authentication required", v1alpha1.CauseUnauthorized},
		"a repository that is a word of refusal": {
			"Error response from daemon: manifest for denied not found: manifest unknown: manifest unknown", v1alpha1.CauseNotFound},
		"a repository that is a status": {
			"Error response from daemon: pull access denied for 503, repository does not exist or may require 'docker login'", v1alpha1.CauseUnauthorized},
		"a tag in brackets": {
			`failed to resolve reference "r.io/a:x": unexpected status code [manifests not found]: 500 Internal Server Error`, v1alpha1.CauseRegistryUnavailable},
		"a name in quotes that plays the whole error": {
			`Back-off pulling image "x\": ErrImagePull: manifest unknown: \"": ErrImagePull: connection refused`, v1alpha1.CauseRegistryUnavailable},
		"a quote that was cut off": {
			`failed to pull and unpack image "reg.io/app: manifest unknown`, v1alpha1.CauseUnknown},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) { check(t, tt.want, "ErrImagePull", tt.message) })
	}
}

func TestOtherWaitingIsNotForAnImage(t *testing.T) {
	tests := [][2]string{
		{"", ""}, {"ContainerCreating", ""}, {"PodInitializing", ""},
		{"CrashLoopBackOff", `back-off 10s restarting failed container=app pod=app_default(1): manifest unknown`},
		{"CreateContainerConfigError", `secret "x" not found`},
		{"CreateContainerError", `failed to resolve reference "reg.io/app:v1": reg.io/app:v1: not found`},
		{"RunContainerError", "exec format error"},
		{"BackOff", "Back-off restarting failed container app in pod app_default(1)"},
		{"Failed", "Error: CrashLoopBackOff"}, {"Failed", `Error: secret "x" not found`}, {"Pulled", "Container image already present on machine"},
	}
	for _, tt := range tests {
		if cause, ok := Waiting(tt[0], tt[1]); ok {
			t.Errorf("Waiting(%q, %q) = %s, want no image failure", tt[0], tt[1], cause)
		}
	}
}

func TestPhrasesCannotBeForgedByAName(t *testing.T) {
	for _, r := range rules {
		for _, p := range r.anywhere {
			if !strings.Contains(p, " ") {
				t.Errorf("phrase %q may stand in a name: it has no space", p)
			}
			if p != strings.ToLower(p) {
				t.Errorf("phrase %q is never met: it is not in lower case", p)
			}
		}
	}
}

func TestBetterKeepsWhatSaysMore(t *testing.T) {
	at := func(s int) v1alpha1.Time { return v1alpha1.NewTime(time.Unix(int64(s), 0)) }
	failure := func(cause v1alpha1.Cause, message string, since int) v1alpha1.Failure {
		return v1alpha1.Failure{Container: "app", Cause: cause, Message: message, Since: at(since)}
	}
	bareWords := `Back-off pulling image "reg.io/app:v1"`
	tests := map[string]struct{ old, new, want v1alpha1.Failure }{
		"a bare back-off does not hide the first error": {
			failure(v1alpha1.CauseNotFound, "not found", 1), failure(v1alpha1.CauseUnknown, bareWords, 2), failure(v1alpha1.CauseNotFound, "not found", 1)},
		"nor does an error that nobody knows": {
			failure(v1alpha1.CauseNotFound, "not found", 1), failure(v1alpha1.CauseUnknown, "odd", 2), failure(v1alpha1.CauseNotFound, "not found", 1)},
		"an error replaces a bare back-off": {
			failure(v1alpha1.CauseUnknown, bareWords, 1), failure(v1alpha1.CauseNotFound, "not found", 2), failure(v1alpha1.CauseNotFound, "not found", 1)},
		"a known cause gives way to a newer one": {
			failure(v1alpha1.CauseNotFound, "not found", 1), failure(v1alpha1.CauseRateLimited, "429", 2), failure(v1alpha1.CauseRateLimited, "429", 1)},
		"of two unknown ones the one with words stays": {
			failure(v1alpha1.CauseUnknown, "odd", 1), failure(v1alpha1.CauseUnknown, bareWords, 2), failure(v1alpha1.CauseUnknown, "odd", 1)},
		"of two with words the newer one stays": {
			failure(v1alpha1.CauseUnknown, "odd", 1), failure(v1alpha1.CauseUnknown, "odder", 2), failure(v1alpha1.CauseUnknown, "odder", 1)},
		"nothing gives way to something": {
			v1alpha1.Failure{}, failure(v1alpha1.CauseUnknown, bareWords, 2), failure(v1alpha1.CauseUnknown, bareWords, 2)},
		"a time that was not read does not erase one that was": {
			failure(v1alpha1.CauseNotFound, "not found", 5), v1alpha1.Failure{Container: "app", Cause: v1alpha1.CauseNotFound, Message: "again"},
			failure(v1alpha1.CauseNotFound, "again", 5)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, Better(tt.old, tt.new)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestBetterKnowsEveryBareBackOff(t *testing.T) {
	for _, m := range []string{`Back-off pulling image "reg.io/app:v1"`, `Back-off pulling image "a\"b"`, `Back-off pulling image "reg.io/app:v`} {
		if says(v1alpha1.Failure{Message: m}) {
			t.Errorf("%q counts as an error", m)
		}
	}
	if m := `Back-off pulling image "reg.io/app:v1": ErrImagePull: x`; !says(v1alpha1.Failure{Message: m}) {
		t.Errorf("%q does not count as an error", m)
	}
}

func TestWords(t *testing.T) {
	tests := map[string]struct{ message, want string }{
		"plain words stay":                       {"manifest unknown", "manifest unknown"},
		"lines and tabs become spaces":           {"errors:\n\tdenied\r\nunauthorized\n", "errors: denied unauthorized"},
		"control and direction characters go":    {"a\x1b[31mb\x00c\u202Ed\u200B", "a[31mbcd"},
		"bytes that are no text are replaced":    {"a\xff\xfeb", "a\uFFFDb"},
		"a user in a URL goes":                   {`Get "https://bob:s3cr3t@reg.io/v2/": EOF`, `Get "https://reg.io/v2/": EOF`},
		"a password with odd characters goes":    {"https://bob:p@ss:w@reg.io/v2/", "https://reg.io/v2/"},
		"a query goes, what follows stays":       {"status code https://s3.io/x?X-Amz-Security-Token=abc&y=z: 403 Forbidden", "status code https://s3.io/x: 403 Forbidden"},
		"a query in quotes goes":                 {`Get "https://s3.io/x?token=abc": EOF`, `Get "https://s3.io/x": EOF`},
		"a query at the end goes":                {"https://s3.io/x?token=abc", "https://s3.io/x"},
		"a digest is not taken for a user":       {"reg.io/app@sha256:00: not found", "reg.io/app@sha256:00: not found"},
		"a question mark outside a URL may stay": {"what? why", "what? why"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := Words(tt.message); got != tt.want {
				t.Errorf("Words(%q) = %q, want %q", tt.message, got, tt.want)
			}
		})
	}
	if got := Words(strings.Repeat("é", 5000)); utf8.RuneCountInString(got) != maxWords || !strings.HasSuffix(got, "é…") {
		t.Errorf("Words of a long message has %d runes and ends in %q", utf8.RuneCountInString(got), got[len(got)-6:])
	}
}

func FuzzWaiting(f *testing.F) {
	for _, row := range rows(f, "testdata/pulls.tsv", 3) {
		f.Add(row[1], row[2], "app", "v1", uint16(0))
	}
	all := wordings(f)
	for i, w := range all {
		f.Add(w.reason, w.about("reg.io", "app", "v1"), "not-found", "unknown", uint16(i))
	}
	f.Fuzz(func(t *testing.T, reason, message, path, tag string, n uint16) {
		cause, ok := Waiting(reason, message)
		if ok != (cause != "") {
			t.Fatalf("Waiting(%q, %q) = %q, %v", reason, message, cause, ok)
		}
		if again, _ := Waiting(reason, message); again != cause {
			t.Fatalf("Waiting(%q, %q) = %q, then %q", reason, message, cause, again)
		}
		words := Words(message)
		if n := utf8.RuneCountInString(words); n > maxWords || !utf8.ValidString(words) || strings.ContainsFunc(words, unicode.IsControl) {
			t.Fatalf("Words(%q) = %q (%d runes)", message, words, n)
		}
		quotedName(t, path)
		if !valid(path, tag) {
			return
		}
		w := all[int(n)%len(all)]
		message = w.about("reg.io", path, tag)
		if got, _ := Waiting(w.reason, message); got != w.cause && !(cached(message) && lacks(w.cause)) {
			t.Fatalf("%s: %s:%s turned %s into %s", w.who, path, tag, w.cause, got)
		}
	})
}

// quotedName checks that a name of any bytes, quoted as the kubelet does, changes nothing.
func quotedName(t *testing.T, name string) {
	for _, tt := range []struct {
		rest string
		want v1alpha1.Cause
	}{
		{"", v1alpha1.CauseUnknown},
		{": ErrImagePull: manifest unknown", v1alpha1.CauseNotFound},
		{": ErrImagePull: 503 Service Unavailable", v1alpha1.CauseRegistryUnavailable},
	} {
		if tt.want.ImageFault() && cached(fmt.Sprintf("%q", name)) {
			tt.want = v1alpha1.CauseRegistryUnavailable
		}
		if got, _ := Waiting("ImagePullBackOff", fmt.Sprintf("Back-off pulling image %q%s", name, tt.rest)); got != tt.want {
			t.Fatalf("image %q turned %s into %s", name, tt.want, got)
		}
	}
}

// valid is what a kubelet lets through to the runtime.
func valid(path, tag string) bool {
	in := func(s, chars string) bool { return strings.Trim(s, chars) == "" }
	const lower = "abcdefghijklmnopqrstuvwxyz0123456789"
	return path != "" && tag != "" && len(path) < 200 && len(tag) < 128 &&
		in(path, lower+"-./_") && strings.Trim(path, "-./_") == path && !strings.Contains(path, "//") &&
		in(tag, lower+"ABCDEFGHIJKLMNOPQRSTUVWXYZ-._") && strings.Trim(tag, "-.") == tag
}

func check(t *testing.T, want v1alpha1.Cause, reason, message string) {
	t.Helper()
	got, ok := Waiting(reason, message)
	if !ok || got != want {
		text, _ := strip(message)
		t.Errorf("Waiting(%s) = %q, %v, want %q\nmessage: %s\nread as: %s", reason, got, ok, want, message, text)
	}
}

func rows(t testing.TB, file string, columns int) [][]string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all [][]string
	for i, line := range strings.Split(strings.TrimSuffix(string(data), "\n"), "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		row := strings.SplitN(line, "\t", columns)
		if len(row) != columns {
			t.Fatalf("%s:%d has %d columns, want %d", file, i+1, len(row), columns)
		}
		all = append(all, row)
	}
	return all
}
