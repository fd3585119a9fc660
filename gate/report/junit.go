package report

import (
	"encoding/xml"
	"fmt"
	"io"

	"github.com/backstop-dev/backstop/internal/text"
)

// JUnit's report as Jenkins' junit-10.xsd has it: a test case for every image at every place, and for every finding
// that is about none.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Name     string       `xml:"name,attr"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Errors   int          `xml:"errors,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Errors   int         `xml:"errors,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		ClassName string         `xml:"classname,attr"`
		Name      string         `xml:"name,attr"`
		Errors    []junitProblem `xml:"error"`
		Failures  []junitProblem `xml:"failure"`
		Out       string         `xml:"system-out,omitempty"`
	}
	junitProblem struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr"`
		Text    string `xml:",chardata"`
	}
)

func (r *Report) junit(w io.Writer) error {
	type place struct {
		file  string
		line  int
		image string
	}
	suite := junitSuite{Name: "images"}
	index := map[place]int{}
	caseAt := func(p place, name string) *junitCase {
		i, ok := index[p]
		if !ok {
			i = len(suite.Cases)
			index[p] = i
			suite.Cases = append(suite.Cases, junitCase{ClassName: text.Visible(p.file), Name: text.Visible(name)})
		}
		return &suite.Cases[i]
	}
	for _, use := range r.Images {
		caseAt(place{use.File, use.Line, use.Image}, fmt.Sprintf("%s (line %d)", use.Image, use.Line))
	}
	for _, f := range r.Findings {
		name := fmt.Sprintf("%s (line %d)", f.Image, f.Line)
		if f.Image == "" {
			name = fmt.Sprintf("%s (line %d)", f.Rule, f.Line)
		}
		c := caseAt(place{f.File, f.Line, f.Image}, name)
		problem := junitProblem{
			Message: text.Visible(f.Message), Type: string(f.Rule),
			Text: text.Visible(fmt.Sprintf("%s:%d: ", f.File, f.Line)) + f.say(),
		}
		switch f.Level {
		case LevelError:
			c.Failures = append(c.Failures, problem)
			suite.Failures++
		case LevelUnknown:
			c.Errors = append(c.Errors, problem)
			suite.Errors++
		case LevelNote:
			c.Out += problem.Text + "\n"
		}
	}
	suite.Tests = len(suite.Cases)
	all := junitSuites{
		Name: "backstop check", Tests: suite.Tests, Failures: suite.Failures, Errors: suite.Errors,
		Suites: []junitSuite{suite},
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
