package imports_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/backstop-dev/backstop/test/codebase"
)

// writing are the methods by which something outside is changed, when their first argument is a context: of the API
// server, of Git, of a provider, and of the ports that lead there.
var writing = []string{
	"Create", "Update", "Patch", "Delete", "DeleteAllOf", "DeleteCollection", "Apply", "ApplyStatus", "UpdateStatus", "EvictV1",
	"Push", "ReceivePack", "Land", "Propose", "Lift", "Merge", "Disarm", "Close", "Verify", "Request", "Ask", "Set", "Disown",
	"SaveStatus", "SaveDecisions", "SaveCard",
}

// asked says of each place where something is written what in the same function asks whether it may be; or, after a
// dash, why nothing has to. A write that is not here is one that nobody thought about.
var asked = map[string]string{
	// Git and its providers, by the engine.
	"reconcile fillLift Lift":                 "gate",
	"reconcile fillMerge Merge":               "asking",
	"reconcile followLift Merge":              "asking",
	"reconcile proposeLift Lift":              "asking",
	"reconcile fillPullRequest Propose":       "asking",
	"reconcile inspect Propose":               "asking",
	"reconcile closeReturning Close":          "mayCloseReturning",
	"reconcile land Land":                     "revert",
	"reconcile tellMore Update":               "- its callers ask in the context that it is given",
	"reconcile verified Verify":               "- its callers ask in the context that it is given",
	"reconcile fillDisarm Disarm":             "- it calls a merge off",
	"reconcile fillClose Close":               "- it closes a pull request",
	"reconcile/gitrepo push Push":             "WithPermit",
	"reconcile/gitrepo liftOnce Push":         "WithPermit",
	"reconcile/gitrepo Request Push":          "- the context that it is given asks, in wire",
	"reconcile/gitrepo/store push Push":       "- Attempt asks in the context that it is given",
	"reconcile/gitrepo/store Push Push":       "- the context that it is given asks, in wire",
	"reconcile/gitrepo/wire send ReceivePack": "- Push asks right before",
	"reconcile/deliver request Request":       "Permitted",
	"reconcile/deliver Close Close":           "- session.RoundTrip asks",
	"reconcile/deliver Close Disarm":          "- session.RoundTrip asks",
	"reconcile/deliver Disarm Disarm":         "- session.RoundTrip asks",
	"reconcile/deliver Merge Merge":           "- session.RoundTrip asks",
	"reconcile/deliver Update Update":         "- session.RoundTrip asks",
	"reconcile/deliver Open Create":           "- session.RoundTrip asks",
	"reconcile/observe Land Land":             "- it measures for the engine, which asks",
	"reconcile/observe Lift Lift":             "- it measures for the engine, which asks",
	"reconcile/observe Propose Propose":       "- it measures for the engine, which asks",
	// Workloads and Flux objects.
	"reconcile fillForward Set":          "mayForward",
	"reconcile fillDisown Disown":        "- it takes Backstop's own mark away",
	"reconcile deletePod Delete":         "gate",
	"reconcile fillRequest Ask":          "- it has Flux do sooner what it does anyway: apply what Git says",
	"reconcile wakeAutomation Request":   "- it has image automation do sooner what it does anyway, after a lift that asked",
	"reconcile/flux patchWorkload Patch": "- fillForward and fillDisown are its only ways",
	"reconcile/flux annotate Patch":      "- fillRequest and wakeAutomation are its only ways",
	"watcher Delete Delete":              "- deletePod is its only way",
	// Backstop's own records.
	"reconcile open Create":                    "- a record",
	"reconcile save SaveStatus":                "- a record",
	"reconcile adoptive Create":                "- a record",
	"reconcile forget Delete":                  "- a record that is older than --history",
	"reconcile/record Create Create":           "- a record",
	"reconcile/record Delete Delete":           "- a record",
	"reconcile/record SaveStatus Update":       "- a record",
	"reconcile/record SaveCard Patch":          "- a record",
	"reconcile/record SaveDecisions Update":    "- a person's word on Slack, which authorize judged",
	"reconcile/record DescribePolicies Update": "- the status of a policy",
	"notify/slack save SaveCard":               "- a record",
	"notify/slack/clicks try SaveDecisions":    "authorize",
	"cmd/sidecar SaveDecisions SaveDecisions":  "- a person's word on Slack, which authorize judged",
	"watcher release Update":                   "- its own Lease",
	// What a person does at a command line, with rights of his own.
	"cmd/backstop amend Update":    "- the person's own rights",
	"cmd/backstop push Land":       "- the person's own rights",
	"cmd/backstop push Push":       "- the person's own rights",
	"cmd/backstop merge Merge":     "- the person's own rights",
	"cmd/backstop propose Propose": "- the person's own rights",
	"cmd/backstop propose Push":    "- the person's own rights",
	"reconcile/gitrepo Push Push":  "- git itself pushes, for a person",
	// Questions, and what is within the process.
	"cmd/backstop whoAmI Create":              "- a question",
	"doctor allowed Create":                   "- a question",
	"gate present Verify":                     "- a question",
	"reconcile/gitrepo/store ask Ask":         "- a question",
	"reconcile/gitrepo/store cloneAfresh Ask": "- a question",
	"cmd/sidecar hear Set":                    "- within the process",
}

func TestEveryWriteAsksWhetherItMay(t *testing.T) {
	found := map[string]bool{}
	root := filepath.Join("..", "..")
	codebase.Walk(t, root, func(path string) error {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		folder := filepath.ToSlash(filepath.Dir(rel))
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
				for _, name := range writes(f) {
					checkWrite(t, found, folder+" "+f.Name.Name+" "+name, f)
				}
			}
		}
		return nil
	})
	for place := range asked {
		if !found[place] {
			t.Errorf("nothing is written at %q any more: take it out of this test", place)
		}
	}
}

// checkWrite looks for what asks in a function that writes.
func checkWrite(t *testing.T, found map[string]bool, place string, f *ast.FuncDecl) {
	t.Helper()
	by, known := asked[place]
	if found[place] = true; !known {
		t.Errorf("%q writes: say in this test what asks there whether it may be written", place)
		return
	}
	if strings.HasPrefix(by, "- ") {
		return
	}
	asks := false
	ast.Inspect(f.Body, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && id.Name == by {
			asks = true
		}
		return !asks
	})
	if !asks {
		t.Errorf("%q does not ask %s any more", place, by)
	}
}

// writes lists the methods of writing that a function calls with a context.
func writes(f *ast.FuncDecl) []string {
	var out []string
	ast.Inspect(f.Body, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) == 0 {
			return true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if ok && slices.Contains(writing, sel.Sel.Name) && isContext(call.Args[0]) && !slices.Contains(out, sel.Sel.Name) {
			out = append(out, sel.Sel.Name)
		}
		return true
	})
	return out
}

// isContext reports whether an argument is a context, by how they are called here.
func isContext(arg ast.Expr) bool {
	switch a := arg.(type) {
	case *ast.Ident:
		return slices.Contains([]string{"ctx", "within", "call", "end"}, a.Name)
	case *ast.CallExpr:
		sel, ok := a.Fun.(*ast.SelectorExpr)
		return ok && (sel.Sel.Name == "Context" || strings.HasPrefix(sel.Sel.Name, "With") || sel.Sel.Name == "Background")
	}
	return false
}
