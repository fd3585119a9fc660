package main

import (
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	const (
		pass = `{"Action":"output","Package":"p","Test":"TestA","Output":"chatter\n"}
{"Action":"pass","Package":"p","Test":"TestA","Elapsed":1.5}
{"Action":"output","Package":"p","Output":"PASS\n"}
{"Action":"output","Package":"p","Output":"ok  \tp\t1.6s\n"}
{"Action":"pass","Package":"p","Elapsed":1.6}
`
		skip = `{"Action":"output","Package":"p","Test":"TestS","Output":"    s_test.go:1: no root\n"}
{"Action":"skip","Package":"p","Test":"TestS","Elapsed":0}
`
		fail = `{"Action":"output","Package":"p","Test":"TestF","Output":"    f_test.go:2:   1.50s it is ready\n"}
{"Action":"output","Package":"p","Test":"TestF","Output":"    f_test.go:1: broken\n"}
{"Action":"fail","Package":"p","Test":"TestF","Elapsed":0}
`
		untested = `{"Action":"output","Package":"q","Output":"?   \tq\t[no test files]\n"}
{"Action":"skip","Package":"q","Elapsed":0}
`
		hung  = `{"Action":"output","Package":"p","Test":"TestH","Output":"waiting\n"}` + "\n"
		build = `{"ImportPath":"p [p.test]","Action":"build-output","Output":"p.go:1: undefined: x\n"}
{"ImportPath":"p [p.test]","Action":"build-fail"}
`
	)
	for name, tt := range map[string]struct {
		in   string
		code int
		want []string
		not  []string
	}{
		"what passes is one line and the sum": {
			in: "scripts/control-plane.sh\n" + pass, code: 0,
			want: []string{"scripts/control-plane.sh", "ok  \tp\t1.6s", "1 passed, 0 failed, 0 skipped", "1.50s p TestA"},
			not:  []string{"chatter"},
		},
		"a skipped test fails, with its reason":        {in: pass + skip, code: 1, want: []string{"no root", "SKIPPED p TestS"}},
		"a failed test fails, with its output":         {in: pass + fail, code: 1, want: []string{"broken", "FAILED  p TestF\n        f_test.go:1: broken\n1 passed"}},
		"a package without tests is fine":              {in: pass + untested, code: 0, not: []string{"SKIPPED"}},
		"a test that did not end fails":                {in: pass + hung, code: 1, want: []string{"did not end: p TestH", "waiting"}},
		"a package that does not compile fails":        {in: pass + build, code: 1, want: []string{"undefined: x", "FAILED  p [p.test]"}},
		"no test at all fails":                         {in: "make: nothing\n", code: 1, want: []string{"0 passed"}},
		"a last line without its newline still counts": {in: pass + strings.TrimSuffix(fail, "\n"), code: 1},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			if _, code := run(strings.NewReader(tt.in), &out); code != tt.code {
				t.Errorf("exit code %d, want %d\n%s", code, tt.code, &out)
			}
			for _, want := range tt.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("no %q in\n%s", want, &out)
				}
			}
			for _, not := range tt.not {
				if strings.Contains(out.String(), not) {
					t.Errorf("unwanted %q in\n%s", not, &out)
				}
			}
		})
	}
}

func TestAgain(t *testing.T) {
	const (
		pkg   = `"Package":"example.com/test/integration"`
		whole = `{"Action":"fail",` + pkg + `}` + "\n"
	)
	fails := func(tests ...string) string {
		var b strings.Builder
		for _, test := range tests {
			b.WriteString(`{"Action":"fail",` + pkg + `,"Test":"` + test + `"}` + "\n")
		}
		return b.String() + whole
	}
	for name, tt := range map[string]struct{ in, want string }{
		"two tests and a row of one run again":    {fails("TestA/row", "TestA", "TestB"), "^(TestA|TestB)$ example.com/test/integration"},
		"four tests are no accident":              {fails("TestA", "TestB", "TestC", "TestD"), ""},
		"what fails after the last test does not": {whole, ""},
		"a race is a fault": {
			`{"Action":"output",` + pkg + `,"Test":"TestA","Output":"WARNING: DATA RACE\n"}` + "\n" + fails("TestA"), "",
		},
		"a skipped test is a fault": {`{"Action":"skip",` + pkg + `,"Test":"TestS"}` + "\n" + fails("TestA"), ""},
		"two packages": {
			`{"Action":"fail","Package":"p","Test":"TestP"}` + "\n" + fails("TestA"), "^(TestP|TestA)$ p example.com/test/integration",
		},
		"a package that failed for no test of its own": {`{"Action":"fail","Package":"p"}` + "\n" + fails("TestA"), ""},
		"a test that did not end took others along":    {`{"Action":"output",` + pkg + `,"Test":"TestH","Output":"x"}` + "\n" + whole, ""},
		"nothing failed": {`{"Action":"pass",` + pkg + `,"Test":"TestA"}` + "\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			l, _ := run(strings.NewReader(tt.in), &strings.Builder{})
			if got := l.again(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
