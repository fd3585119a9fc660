package main

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
)

func TestWhatAPersonReadsObeysNobody(t *testing.T) {
	for name, tt := range map[string]struct {
		host, want string
		in         []string
	}{
		"words":                            {"", "a b — c\n\td\n", []string{"a b — c\n\td\n"}},
		"colours of this program":          {"", "\x1b[31m✗\x1b[0m x", []string{"\x1b[31m✗\x1b[0m x"}},
		"a title, a cursor, hidden text":   {"", " ]0;x  [2J [8mb", []string{"\x1b]0;x\x07\x1b[2J\x1b[8mb"}},
		"the same in eight bits":           {"", "a 31mb", []string{"a\u009b31mb"}},
		"a direction that is turned":       {"", "gpj exe", []string{"gpj\u202eexe"}},
		"a line that is written over":      {"", "good bad", []string{"good\rbad"}},
		"a character in two parts":         {"", "a—b", []string{"a\xe2\x80", "\x94b"}},
		"a turned direction in two parts":  {"", "a b", []string{"a\xe2\x80", "\xaeb"}},
		"half a character":                 {"", "a ", []string{"a\xe2"}},
		"a command of GitHub":              {"", "x\n: :error::y\n", []string{"x\n  ::error::y\n"}},
		"the same at the start of a write": {"", "x\n: :error::y", []string{"x\n", "::error::y"}},
		"two colons within a line":         {"", "a ::b", []string{"a ", "::b"}},
		"a command of Azure DevOps":        {"", "a ## vso[task.x]", []string{"a ##vso[task.x]"}},
		"this program's own name":          {"", "run backstop get", []string{"run backstop get"}},
		"as a plugin of kubectl":           {"kubectl", "run 'kubectl backstop get' or kubectl backstop approve x", []string{"run 'backstop get' or kubectl backstop approve x"}},
		"as a plugin of flux":              {"flux", "`flux backstop approve|reject`, not /backstop get", []string{"`backstop approve|reject`, not /backstop get"}},
		"another use of the name":          {"flux", "backstop says backstop: no", []string{"backstop says backstop: no"}},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			s := &screen{under: &b, host: tt.host}
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
	out := &screen{under: &b, host: "kubectl"}
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

func TestThePluginNamesCommandsAsItsHostDoes(t *testing.T) {
	for _, host := range []string{"kubectl", "flux"} {
		var o bytes.Buffer
		std := streams{in: strings.NewReader(""), out: &o, err: &o}
		for _, args := range [][]string{{"--help"}, {"get", "--help"}, {"approve", "--help"}, {"trace", "--frob"}, {"revert", "kustomization", "apps", "--dry-run"}, {"completion", "--help"}} {
			o.Reset()
			run(t.Context(), append([]string{"/usr/bin/" + host + "-backstop"}, args...), std)
			for _, m := range command.FindAllString(o.String(), -1) {
				if !strings.Contains(m, host+" backstop ") {
					t.Errorf("%v names %q:\n%s", args, m, o.String())
				}
			}
			if args[len(args)-1] == "--frob" && !strings.Contains(o.String(), "Run '"+host+" backstop --help'") {
				t.Errorf("it says %q", o.String())
			}
		}
	}
}
