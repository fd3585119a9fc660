package report_test

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

	"github.com/backstop-dev/backstop/gate/report"
)

var update = flag.Bool("update", false, "write the golden files anew")

// sample is a report with everything in it, hostile words too.
func sample() *report.Report {
	return &report.Report{
		Files: 3, Asked: 2, Built: []string{"apps/production"}, Compared: true,
		Images: []report.Use{
			{Image: "ghcr.io/acme/app:v1", File: "apps/app.yaml", Line: 12},
			{Image: "ghcr.io/acme/good:v2", File: "apps/good.yaml", Line: 3, Environments: []string{"production"}},
		},
		Findings: []report.Finding{
			{
				Rule: report.RuleMissing, Level: report.LevelError, File: "apps/app.yaml", Line: 12, Image: "ghcr.io/acme/app:v1",
				Message: "ghcr.io/acme/app:v1: ghcr.io does not have v1 (404), and shows this client v0", Fix: "correct the tag; did you mean v0?",
			},
			{
				Rule: report.RuleNotAnswered, Level: report.LevelUnknown, File: "apps/a b,c%.yaml", Line: 7, Image: "quay.io/x:y",
				Message: "quay.io limits this client", Fix: "log in, or run again later",
			},
			{
				Rule: report.RuleNotRead, Level: report.LevelNote, File: "evil.yaml", Line: 1,
				Message: "not looked into: \x1b[31m]]>\n::error::<b>&amp;\u202egnp.exe\x00 é %0A",
			},
		},
	}
}

func written(t *testing.T, r *report.Report, format string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := r.Write(&b, format, false); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestReportsAreWrittenAsBefore(t *testing.T) {
	for _, format := range report.Formats() {
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

func TestTextSaysOnceWhatToDoAboutManyThings(t *testing.T) {
	f := report.Finding{Rule: report.RuleNotBuilt, Level: report.LevelNote, File: "a.yaml", Line: 1, Message: "a", Fix: "do this"}
	r := &report.Report{Findings: []report.Finding{f, f, f}}
	r.Findings[2].Fix = "do that"
	got := string(written(t, r, "text"))
	if strings.Count(got, "→ do this") != 1 || strings.Count(got, "→ do that") != 1 || strings.Index(got, "do this") > strings.LastIndex(got, "a.yaml") {
		t.Errorf("it says\n%s", got)
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
	for title, r := range map[string]*report.Report{"everything": sample(), "nothing": {Findings: []report.Finding{}, Images: []report.Use{}}} {
		t.Run(title, func(t *testing.T) {
			fits(t, "testdata/sarif-schema-2.1.0.json", written(t, r, "sarif"))
			fits(t, "testdata/codequality.schema.json", written(t, r, "gitlab"))
			var back report.Report
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
func githubFits(t *testing.T, r *report.Report, text []byte) {
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

// junitElements are the elements that Jenkins' junit-10.xsd knows of a report like ours, with their required
// attributes, those that may be there, and what may be in them.
var junitElements = map[string]struct{ required, optional, children []string }{
	"testsuites": {nil, []string{"name", "tests", "failures", "errors", "time"}, []string{"testsuite"}},
	"testsuite": {
		[]string{"name", "tests", "failures", "errors"},
		[]string{"group", "time", "skipped", "timestamp", "hostname", "id", "package", "file", "log", "url"},
		[]string{"testsuite", "properties", "testcase", "system-out", "system-err"},
	},
	"testcase":   {[]string{"name"}, []string{"time", "classname", "group"}, []string{"skipped", "error", "failure", "system-out", "system-err"}},
	"error":      {nil, []string{"message", "type"}, nil},
	"failure":    {nil, []string{"message", "type"}, nil},
	"system-out": {nil, nil, nil},
}

func junitFits(t *testing.T, r *report.Report, text []byte) {
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
	if count["failure"] != r.Count(report.LevelError) || count["error"] != r.Count(report.LevelUnknown) {
		t.Errorf("%v for %d findings and %d unknown", count, r.Count(report.LevelError), r.Count(report.LevelUnknown))
	}
}
