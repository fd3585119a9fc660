// Package sentences_test keeps code from deciding by words that Backstop itself wrote for people: what a reader needs
// is a typed field. Foreign words, such as a kubelet's or a registry's, are read where they come in.
package sentences_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/backstop-dev/backstop/test/codebase"
)

// root is the module, as seen from here.
var root = filepath.Join("..", "..")

// ours are the fields that hold Backstop's own sentences.
var ours = []string{
	"Why", "AuthorsWhy", "Says", "Sentence", "Proof", "Undone", "ByHand", "ReadOnly", "NoKey", "NotFlux", "Fix", "RanHere", "Breaker",
	"Summary", "Because", "Unread", "Unlisted", "Missing",
}

// matchers are the functions that look into a text.
var matchers = []string{
	"Contains", "ContainsAny", "HasPrefix", "HasSuffix", "Cut", "CutPrefix", "CutSuffix", "EqualFold", "Index", "LastIndex", "Split",
	"SplitN", "TrimPrefix", "TrimSuffix", "Fields", "MatchString", "FindStringSubmatch", "FindString",
}

// strange are words that are not the field's, by those that are.
var strange = map[string]*regexp.Regexp{
	"select, as an ImagePolicy does":      regexp.MustCompile(`(?i)\bre-?elect|\belect(s|ed|ion)?\b`),
	"handler, outbox":                     regexp.MustCompile(`(?i)\bdesks?\b`),
	"without success, or what came of it": regexp.MustCompile(`(?i)\bin vain\b`),
	"what is not true":                    regexp.MustCompile(`(?i)\b(a lie|lies to|lied)\b`),
}

// leads is about the one replica that works, which is elected.
var leads = regexp.MustCompile(`(?i)leader|leading|lease|watcher\.Election`)

func TestWordsAreTheFieldsOwn(t *testing.T) {
	files := 0
	codebase.Walk(t, root, func(path string) error {
		files++
		data, err := os.ReadFile(path)
		if err != nil || strings.HasSuffix(path, filepath.Join("watcher", "leader.go")) {
			return err
		}
		for i, line := range strings.Split(string(data), "\n") {
			for better, word := range strange {
				if found := word.FindString(line); found != "" && !leads.MatchString(line) {
					t.Errorf("%s:%d: %q: say %s", path, i+1, found, better)
				}
			}
		}
		return nil
	})
	if files < 200 {
		t.Fatalf("%d files", files)
	}
}

func TestNobodyParsesASentenceOfOurs(t *testing.T) {
	files := 0
	codebase.Walk(t, root, func(path string) error {
		files++
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, 0)
		if err != nil {
			return err
		}
		for _, at := range parses(file) {
			t.Errorf("%s reads a sentence of ours: give its reader a typed field", set.Position(at))
		}
		return nil
	})
	if files < 200 {
		t.Fatalf("%d files", files)
	}
}

// parses lists where a file matches on a field that holds a sentence of ours, or compares one with words.
func parses(file *ast.File) []token.Pos {
	var out []token.Pos
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			f, ok := n.Fun.(*ast.SelectorExpr)
			if ok && slices.Contains(matchers, f.Sel.Name) && !makesHarmless(f) && slices.ContainsFunc(n.Args, sentence) {
				out = append(out, n.Pos())
			}
		case *ast.BinaryExpr:
			if n.Op == token.EQL || n.Op == token.NEQ {
				if sentence(n.X) && words(n.Y) || sentence(n.Y) && words(n.X) {
					out = append(out, n.Pos())
				}
			}
		case *ast.SwitchStmt:
			if n.Tag != nil && sentence(n.Tag) && casesOfWords(n) {
				out = append(out, n.Pos())
			}
		}
		return true
	})
	return out
}

// makesHarmless reports that a function is internal/text's, which prepares a sentence for its sink.
func makesHarmless(f *ast.SelectorExpr) bool {
	pkg, ok := f.X.(*ast.Ident)
	return ok && pkg.Name == "text"
}

// casesOfWords reports that a switch has a literal among its cases: constants are a type's own.
func casesOfWords(s *ast.SwitchStmt) bool {
	for _, c := range s.Body.List {
		if slices.ContainsFunc(c.(*ast.CaseClause).List, words) {
			return true
		}
	}
	return false
}

// hasOurMessage reports whether an expression is an outcome or a finding of the gate: their message is ours, and that of
// a condition is Kubernetes'.
func hasOurMessage(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.SelectorExpr:
		return e.Sel.Name == "Outcome"
	case *ast.Ident:
		return strings.EqualFold(e.Name, "outcome") || e.Name == "f" || e.Name == "finding"
	}
	return false
}

// sentence reports whether an expression is a field that holds a sentence of ours, lower-cased or trimmed at most.
func sentence(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.SelectorExpr:
		return slices.Contains(ours, e.Sel.Name) || e.Sel.Name == "Message" && hasOurMessage(e.X)
	case *ast.CallExpr:
		f, ok := e.Fun.(*ast.SelectorExpr)
		return ok && slices.Contains([]string{"ToLower", "TrimSpace", "ToUpper"}, f.Sel.Name) && slices.ContainsFunc(e.Args, sentence)
	}
	return false
}

// words reports whether an expression is a literal with words in it. An empty one only asks whether there is a
// sentence.
func words(e ast.Expr) bool {
	l, ok := e.(*ast.BasicLit)
	return ok && l.Kind == token.STRING && len(l.Value) > 2
}

func TestWhatCountsAsParsing(t *testing.T) {
	tests := map[string]struct {
		code string
		want int
	}{
		"a part of a sentence is looked for": {`strings.Contains(w.Policy.Why, "is suspended")`, 1},
		"also in lower case":                 {`strings.HasPrefix(strings.ToLower(p.Sentence), "tls")`, 1},
		"also by a pattern":                  {`re.MatchString(s.Says)`, 1},
		"a sentence is compared with words":  {`h.Fix == "push it again"`, 1},
		"a sentence is there":                {`h.Fix != ""`, 0},
		"two sentences are compared":         {`old.Why != new.Why`, 0},
		"a foreign message is read":          {`strings.Contains(c.Message, "denied")`, 0},
		"a finding's message is read":        {`strings.Cut(f.Message, ": ")`, 1},
		"a sentence goes into another":       {`fmt.Sprintf("%s: %s", h.Why, h.Fix)`, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			file, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\nvar _ = "+tt.code+"\n", 0)
			if err != nil {
				t.Fatal(err)
			}
			if got := len(parses(file)); got != tt.want {
				t.Errorf("%d places, want %d", got, tt.want)
			}
		})
	}
}
