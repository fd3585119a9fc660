package gate_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/backstop-dev/backstop/gate"
)

var update = flag.Bool("update", false, "write the golden files anew")

// sample is a report with everything in it, hostile words too.
func sample() *gate.Report {
	return &gate.Report{
		Files: 3, Asked: 2, Built: []string{"apps/production"}, Compared: true,
		Images: []gate.Use{
			{Image: "ghcr.io/acme/app:v1", File: "apps/app.yaml", Line: 12},
			{Image: "ghcr.io/acme/good:v2", File: "apps/good.yaml", Line: 3, Environments: []string{"production"}},
		},
		Findings: []gate.Finding{
			{
				Rule: gate.RuleMissing, Level: gate.LevelError, File: "apps/app.yaml", Line: 12, Image: "ghcr.io/acme/app:v1",
				Message: "ghcr.io/acme/app:v1: ghcr.io does not have v1 (404), and shows this client v0", Fix: "correct the tag; did you mean v0?",
			},
			{
				Rule: gate.RuleNotAnswered, Level: gate.LevelUnknown, File: "apps/a b,c%.yaml", Line: 7, Image: "quay.io/x:y",
				Message: "quay.io limits this client", Fix: "log in, or run again later",
			},
			{
				Rule: gate.RuleNotRead, Level: gate.LevelNote, File: "evil.yaml", Line: 1,
				Message: "not looked into: \x1b[31m]]>\n::error::<b>&amp;\u202egnp.exe\x00 é %0A",
			},
		},
	}
}

func written(t *testing.T, r *gate.Report, format string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := r.Write(&b, format, false); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestReportsAreWrittenAsBefore(t *testing.T) {
	for _, format := range gate.Formats() {
		got := written(t, sample(), format)
		golden := "testdata/report." + format
		if *update {
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", format, diff)
		}
	}
	if err := sample().Write(io.Discard, "html", false); err == nil || !strings.Contains(err.Error(), "text, json, github") {
		t.Errorf("an unknown format gives %v", err)
	}
	var b bytes.Buffer
	if err := sample().Write(&b, "text", true); err != nil || !strings.Contains(b.String(), "\x1b[31m✗") {
		t.Errorf("no colour in %q, %v", b.String(), err)
	}
}

// fits holds a document against a JSON schema.
func fits(t *testing.T, schema string, document []byte) {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	s, err := c.Compile(schema)
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err == nil {
		err = s.Validate(v)
	}
	if err != nil {
		t.Errorf("%s: %v\n%s", schema, err, document)
	}
}

func TestGateOutputsFitTheirSchemas(t *testing.T) {
	for title, r := range map[string]*gate.Report{"everything": sample(), "nothing": {Findings: []gate.Finding{}, Images: []gate.Use{}}} {
		t.Run(title, func(t *testing.T) {
			fits(t, "testdata/sarif.schema.json", written(t, r, "sarif"))
			fits(t, "testdata/codequality.schema.json", written(t, r, "gitlab"))
			var back gate.Report
			dec := json.NewDecoder(bytes.NewReader(written(t, r, "json")))
			dec.DisallowUnknownFields()
			if err := dec.Decode(&back); err != nil || len(back.Findings) != len(r.Findings) {
				t.Errorf("the JSON does not come back: %v", err)
			}
			githubFits(t, r, written(t, r, "github"))
			junitFits(t, r, written(t, r, "junit"))
		})
	}
}

// githubFits reads workflow commands as the runner does.
func githubFits(t *testing.T, r *gate.Report, text []byte) {
	command := regexp.MustCompile(`^::(error|warning|notice) file=([^,]*),line=([0-9]+),title=([^,:]*)::(.*)$`)
	unescape := strings.NewReplacer("%0D", "\r", "%0A", "\n", "%3A", ":", "%2C", ",", "%25", "%")
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(lines) != len(r.Findings)+1 {
		t.Fatalf("%d lines for %d findings", len(lines), len(r.Findings))
	}
	for i, f := range r.Findings {
		m := command.FindStringSubmatch(lines[i])
		if m == nil {
			t.Errorf("%q is no command", lines[i])
			continue
		}
		if unescape.Replace(m[2]) != f.File || m[3] != strconv.Itoa(f.Line) {
			t.Errorf("%q is of %s:%d", lines[i], f.File, f.Line)
		}
	}
	if strings.HasPrefix(lines[len(lines)-1], "::") {
		t.Errorf("the summary is a command: %q", lines[len(lines)-1])
	}
}

// junitElements are the elements that JUnit's schema knows, with their required attributes, those that may be there, and
// what may be in them.
var junitElements = map[string]struct{ required, optional, children []string }{
	"testsuites": {nil, []string{"name", "tests", "failures", "errors", "time", "disabled"}, []string{"testsuite"}},
	"testsuite": {
		[]string{"name", "tests", "failures", "errors"}, []string{"time", "timestamp", "hostname", "skipped", "id", "package"},
		[]string{"properties", "testcase", "system-out", "system-err"},
	},
	"testcase":   {[]string{"name", "classname"}, []string{"time", "file", "status", "assertions"}, []string{"skipped", "error", "failure", "system-out"}},
	"error":      {nil, []string{"message", "type"}, nil},
	"failure":    {nil, []string{"message", "type"}, nil},
	"system-out": {nil, nil, nil},
}

func junitFits(t *testing.T, r *gate.Report, text []byte) {
	var open []string
	count := map[string]int{}
	dec := xml.NewDecoder(bytes.NewReader(text))
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("no XML: %v", err)
		}
		switch e := token.(type) {
		case xml.StartElement:
			known, ok := junitElements[e.Name.Local]
			if !ok || len(open) > 0 && !slices.Contains(junitElements[open[len(open)-1]].children, e.Name.Local) {
				t.Errorf("<%s> in %q", e.Name.Local, open)
			}
			var has []string
			for _, a := range e.Attr {
				has = append(has, a.Name.Local)
				if !slices.Contains(known.required, a.Name.Local) && !slices.Contains(known.optional, a.Name.Local) {
					t.Errorf("<%s> has %s", e.Name.Local, a.Name.Local)
				}
				if a.Name.Local == "tests" && a.Value != strconv.Itoa(len(r.Images)+len(r.Findings)-min(1, len(r.Findings))) {
					t.Errorf("<%s> says %s tests", e.Name.Local, a.Value)
				}
			}
			for _, name := range known.required {
				if !slices.Contains(has, name) {
					t.Errorf("<%s> lacks %s", e.Name.Local, name)
				}
			}
			open = append(open, e.Name.Local)
			count[e.Name.Local]++
		case xml.EndElement:
			open = open[:len(open)-1]
		}
	}
	if count["failure"] != r.Count(gate.LevelError) || count["error"] != r.Count(gate.LevelUnknown) {
		t.Errorf("%v for %d findings and %d unknown", count, r.Count(gate.LevelError), r.Count(gate.LevelUnknown))
	}
}

func TestTheSchemaOfTheConfigurationSaysWhatTheCodeTakes(t *testing.T) {
	file := t.TempDir() + "/schema.json"
	if err := os.WriteFile(file, []byte(gate.Schema), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := jsonschema.NewCompiler().Compile(file)
	if err != nil {
		t.Fatal(err)
	}
	for text, valid := range map[string]bool{
		twoEnvironments: true,
		"platforms: [linux/amd64, linux/arm64/v8]\nremoteBases: [github.com/acme/]\nignore: [docs]\n":                              true,
		"environments: {a: {paths: [x], tags: y, immutable: true, digests: true, registries: [z], promotedFrom: b}, b: {tags: c}}": true,
		"platfroms: []": false, "environments: {a: {path: [x]}}": false, "environments: {a: {immutable: 3}}": false, "ignore: x": false,
	} {
		var v any
		if err := yaml.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		_, perr := gate.ParseConfig("x", []byte(text))
		if verr := s.Validate(v); (verr == nil) != valid || (perr == nil) != valid {
			t.Errorf("%s: the schema says %v, the code says %v", text, verr, perr)
		}
	}
}
