package main

import (
	"bytes"
	"encoding/json"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

func TestWhatAPersonReadsObeysNobody(t *testing.T) {
	for name, tt := range map[string]struct {
		want string
		in   []string
	}{
		"words":                            {"a b — c\n\td\n", []string{"a b — c\n\td\n"}},
		"colours of this program":          {"\x1b[31m✗\x1b[0m x", []string{"\x1b[31m✗\x1b[0m x"}},
		"a title, a cursor, hidden text":   {" ]0;x  [2J [8mb", []string{"\x1b]0;x\x07\x1b[2J\x1b[8mb"}},
		"the same in eight bits":           {"a 31mb", []string{"a\u009b31mb"}},
		"a direction that is turned":       {"gpj exe", []string{"gpj\u202eexe"}},
		"a line that is written over":      {"good bad", []string{"good\rbad"}},
		"a character in two parts":         {"a—b", []string{"a\xe2\x80", "\x94b"}},
		"a turned direction in two parts":  {"a b", []string{"a\xe2\x80", "\xaeb"}},
		"half a character":                 {"a ", []string{"a\xe2"}},
		"a command of GitHub":              {"x\n: :error::y\n", []string{"x\n  ::error::y\n"}},
		"the same at the start of a write": {"x\n: :error::y", []string{"x\n", "::error::y"}},
		"two colons within a line":         {"a ::b", []string{"a ", "::b"}},
		"a command of Azure DevOps":        {"a ## vso[task.x]", []string{"a ##vso[task.x]"}},
		"words that look like a command":   {"run backstop get", []string{"run backstop get"}},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			s := &screen{under: &b}
			for _, part := range tt.in {
				if n, err := io.WriteString(s, part); n != len(part) || err != nil {
					t.Errorf("wrote %d of %d, %v", n, len(part), err)
				}
			}
			s.flush()
			if b.String() != tt.want {
				t.Errorf("%q becomes %q, want %q", tt.in, b.String(), tt.want)
			}
		})
	}
}

func TestWhatAMachineReadsIsWholeAndHarmless(t *testing.T) {
	const evil = "a\u202eb\u009b31mc\x1b[2J — é"
	var b bytes.Buffer
	out := &screen{under: &b}
	if err := printObject(out, "json", map[string]string{"a": evil + " backstop get"}); err != nil {
		t.Fatal(err)
	}
	var back map[string]string
	if err := json.Unmarshal(b.Bytes(), &back); err != nil || back["a"] != evil+" backstop get" {
		t.Errorf("it comes back as %q, %v", back["a"], err)
	}
	if strings.ContainsAny(b.String(), "\u202e\u009b\x1b") {
		t.Errorf("a terminal obeys %q", b.String())
	}
	b.Reset()
	if err := printObject(out, "yaml", map[string]string{"a": evil, "b": "c"}); err != nil || strings.ContainsAny(b.String(), "\u202e\u009b\x1b") ||
		!strings.Contains(b.String(), "\nb: c\n") {
		t.Errorf("YAML: %q, %v", b.String(), err)
	}
}

// Foreign words come back in errors too.
func TestAnErrorObeysNobody(t *testing.T) {
	_, _, errs := call(t, "blame", "x\x1b[2J\u202e:1\n::error::y", "--repo", t.TempDir())
	if strings.ContainsAny(errs, "\x1b\u202e") || strings.Contains(errs, "\n::") {
		t.Errorf("it says %q", errs)
	}
}

// command is one of this program in a sentence.
var command = regexp.MustCompile(`(^|[^A-Za-z0-9/-])(?:(?:kubectl|flux) )?backstop ` +
	`(get|approve|reject|release|blame|revert|trace|doctor|check|version|completion|COMMAND)\b`)

func TestThePluginNamesCommandsAsItsHostDoes(t *testing.T) {
	lines := [][]string{
		{"--help"}, {"trace", "--frob"}, {"revert", "kustomization", "apps", "--dry-run"}, {"completion", "bash", "--help"},
	}
	for _, c := range commands() {
		lines = append(lines, []string{c.Name(), "--help"})
	}
	for _, host := range []string{"kubectl", "flux"} {
		var o bytes.Buffer
		std := streams{in: strings.NewReader(""), out: &o, err: &o}
		for _, args := range lines {
			o.Reset()
			run(t.Context(), append([]string{"/usr/bin/" + host + "-backstop"}, args...), std)
			for _, m := range command.FindAllString(o.String(), -1) {
				if !strings.Contains(m, host+" backstop ") {
					t.Errorf("%v names %q:\n%s", args, m, o.String())
				}
			}
			if strings.Contains(o.String(), "$backstop") {
				t.Errorf("%v has no name for the program:\n%s", args, o.String())
			}
			if args[len(args)-1] == "--frob" && !strings.Contains(o.String(), "Run '"+host+" backstop --help'") {
				t.Errorf("it says %q", o.String())
			}
		}
	}
}

// A subject that reads like a command of this program is its author's words, whoever hosts the program.
func TestThePluginLeavesForeignWordsAlone(t *testing.T) {
	const subject = "Run backstop get before backstop approve"
	dir := t.TempDir()
	gitIn(t, dir, "init", "-q", "-b", "main")
	files(t, dir, map[string]string{"app.yaml": pod("ghcr.io/acme/app:v1")})
	gitIn(t, dir, "add", "-A")
	gitIn(t, dir, "commit", "-qm", "Start")
	files(t, dir, map[string]string{"app.yaml": pod("ghcr.io/acme/app:v2")})
	gitIn(t, dir, "commit", "-qam", subject)
	var o bytes.Buffer
	std := streams{in: strings.NewReader(""), out: &o, err: &o}
	run(t.Context(), []string{"kubectl-backstop", "blame", "ghcr.io/acme/app:v2", "--repo", dir}, std)
	if !strings.Contains(o.String(), subject) {
		t.Errorf("it says\n%s", o.String())
	}
}

func TestTheTableNamesCommandsAsItsHostDoes(t *testing.T) {
	s := v1alpha1.RollbackStatus{
		Question:   &v1alpha1.Question{Answers: []v1alpha1.Answer{v1alpha1.Approve, v1alpha1.Reject}, Until: v1alpha1.NewTime(time.Unix(9, 0))},
		Conditions: []metav1.Condition{{Type: "Ready", Message: "the commit says: backstop get"}},
	}
	have := statusOf(&s, reader{time.Unix(1, 0), "flux backstop"})
	if want := "flux backstop approve|reject by 00:00 UTC: the commit says: backstop get"; have != want {
		t.Errorf("it says %q, want %q", have, want)
	}
}
