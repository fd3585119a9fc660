// Command testlog reads go test -json and prints what a person wants of it: a
// line for each package, the whole output of what failed, every skipped test,
// and the slowest tests. A skipped test is a failure: what is promised must run.
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
)

// event is one line of go test -json; see go doc test2json.
type event struct {
	Action     string
	Package    string
	ImportPath string
	Test       string
	Elapsed    float64
	Output     string
}

// id is what an output belongs to: a package, or a test in it.
type id struct{ pkg, test string }

type took struct {
	id
	seconds float64
}

// log is what was seen so far.
type log struct {
	out     io.Writer
	said    map[id][]string
	slow    []took
	skipped []id
	failed  []id
	// why is the first lines of a failed test that report no step.
	why map[id][]string
	// final means that running again proves nothing: a race was seen, or tests never ran.
	final  bool
	passed int
}

func main() {
	again := flag.String("again", "", "write here what runs the failed tests again, where that is worth while")
	flag.Parse()
	l, code := run(os.Stdin, os.Stdout)
	if *again != "" {
		if err := os.WriteFile(*again, []byte(l.again()), 0o600); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// run gives what was seen and the exit code: 0 only if tests ran, none failed and none was skipped.
func run(in io.Reader, out io.Writer) (*log, int) {
	l := &log{out: out, said: map[id][]string{}, why: map[id][]string{}}
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			l.line(line)
		}
		if err != nil {
			break
		}
	}
	return l, l.close()
}

func (l *log) line(line string) {
	var e event
	if err := json.Unmarshal([]byte(line), &e); err != nil || e.Action == "" {
		fmt.Fprint(l.out, line) // make's and the linker's words
		return
	}
	at := id{cmp.Or(e.Package, e.ImportPath), e.Test}
	switch e.Action {
	case "output":
		l.final = l.final || strings.Contains(e.Output, "WARNING: DATA RACE")
		l.said[at] = append(l.said[at], e.Output)
	case "build-output":
		fmt.Fprint(l.out, e.Output)
	case "pass":
		if e.Test != "" {
			l.passed++
			l.slow = append(l.slow, took{at, e.Elapsed})
		}
		l.finish(at, e)
	case "skip":
		// A package without tests is skipped too, which is nobody's fault.
		if e.Test != "" {
			l.skipped = append(l.skipped, at)
			fmt.Fprintf(l.out, "%s", strings.Join(l.said[at], ""))
		}
		l.finish(at, e)
	case "fail", "build-fail":
		if !slices.Contains(l.failed, at) { // a build and then its package
			l.failed = append(l.failed, at)
		}
		l.why[at] = reasons(l.said[at])
		fmt.Fprintf(l.out, "%s", strings.Join(l.said[at], ""))
		l.finish(at, e)
	}
}

var (
	reported = regexp.MustCompile(`^\s+\w+_test\.go:\d+: `)
	// step is how a test tells how long something took.
	step = regexp.MustCompile(`^\s+\w+_test\.go:\d+: +[\d.]+s `)
)

// reasons are the first lines that a test reported and that tell no step: a run of an hour is cut in the middle by who
// shows it, and these stand at its end.
func reasons(said []string) []string {
	var first []string
	for _, line := range said {
		if reported.MatchString(line) && !step.MatchString(line) && len(first) < 3 {
			line = strings.TrimSpace(line)
			first = append(first, line[:min(len(line), 300)])
		}
	}
	return first
}

// finish forgets a test's output, and prints a package's last line.
func (l *log) finish(at id, e event) {
	if at.test == "" && e.Action == "pass" {
		said := l.said[at]
		if len(said) > 0 {
			fmt.Fprint(l.out, said[len(said)-1])
		}
	}
	delete(l.said, at)
}

// close prints the sum and gives the exit code.
func (l *log) close() int {
	// What never ended: a process that was killed or panicked took its tests along.
	for at, said := range l.said {
		if at.test != "" {
			fmt.Fprintf(l.out, "did not end: %s %s\n%s", at.pkg, at.test, strings.Join(said, ""))
			l.failed = append(l.failed, at)
			l.final = true
		}
	}
	slices.SortFunc(l.slow, func(a, b took) int { return cmp.Compare(b.seconds, a.seconds) })
	fmt.Fprintln(l.out, "slowest:")
	for _, t := range l.slow[:min(10, len(l.slow))] {
		fmt.Fprintf(l.out, "  %7.2fs %s %s\n", t.seconds, t.pkg, t.test)
	}
	for _, at := range l.skipped {
		fmt.Fprintf(l.out, "SKIPPED %s %s\n", at.pkg, at.test)
	}
	for _, at := range l.failed {
		fmt.Fprintf(l.out, "FAILED  %s %s\n", at.pkg, at.test)
		for _, why := range l.why[at] {
			fmt.Fprintf(l.out, "        %s\n", why)
		}
	}
	fmt.Fprintf(l.out, "%d passed, %d failed, %d skipped\n", l.passed, len(l.failed), len(l.skipped))
	if l.passed == 0 || len(l.failed)+len(l.skipped) > 0 {
		return 1
	}
	return 0
}

// again is a -run pattern of the tests that failed and their packages, where they are few and there was no race:
// whether such a test fails by itself too tells a fault from a machine that had too much to do. It is empty everywhere
// else.
func (l *log) again() string {
	var tests, packages, whole []string
	for _, at := range l.failed {
		top, _, _ := strings.Cut(at.test, "/")
		switch {
		case top == "":
			whole = append(whole, at.pkg)
		case !slices.Contains(tests, top):
			tests = append(tests, top)
		}
		if top != "" && !slices.Contains(packages, at.pkg) {
			packages = append(packages, at.pkg)
		}
	}
	// A package that failed for no test of its own does not build, or failed when all was over.
	alone := slices.ContainsFunc(whole, func(pkg string) bool { return !slices.Contains(packages, pkg) })
	if len(tests) == 0 || len(tests) > 3 || alone || l.final || len(l.skipped) > 0 {
		return ""
	}
	return "^(" + strings.Join(tests, "|") + ")$ " + strings.Join(packages, " ")
}
