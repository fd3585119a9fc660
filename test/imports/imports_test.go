// Package imports_test keeps Backstop's packages in one direction, and what is
// linked into the sidecar small.
//
//	cmd → doctor → gate, trace, watcher, notify's ways → reconcile's adapters → reconcile, notify, manifest → api, nouns
package imports_test

import (
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/backstop-dev/backstop/"

// edges says what each package imports of this module, beside api. It is exact: an edge that nothing uses any more
// goes.
var edges = map[string]string{
	"api/v1alpha1": "",
	"cmd/backstop": "doctor gate gate/report gate/sources internal/build internal/image internal/program internal/text " +
		"internal/workload reconcile reconcile/deliver reconcile/flux reconcile/gitrepo reconcile/kube " +
		"reconcile/manifest reconcile/registry reconcile/render trace watcher",
	"cmd/sidecar": "internal/build internal/text notify notify/slack/card notify/slack/clicks notify/console notify/fluxevent " +
		"notify/kubeevents notify/metrics notify/slack reconcile reconcile/deliver reconcile/flux " +
		"reconcile/gitrepo reconcile/kube reconcile/manifest reconcile/observe reconcile/record " +
		"reconcile/registry reconcile/render reconcile/trigger watcher watcher/alerts",
	"doctor": "internal/image internal/workload reconcile reconcile/flux reconcile/gitrepo reconcile/kube " +
		"reconcile/registry reconcile/trigger trace",
	"gate": "gate/chart gate/imagepolicy gate/report gate/sources internal/image internal/text reconcile " +
		"reconcile/manifest reconcile/registry reconcile/render",
	"gate/chart":              "gate/sources reconcile/manifest reconcile/render",
	"gate/imagepolicy":        "",
	"gate/report":             "internal/text",
	"gate/sources":            "reconcile/manifest",
	"internal/build":          "",
	"internal/body":           "",
	"internal/cloud":          "",
	"internal/image":          "",
	"internal/program":        "",
	"internal/text":           "",
	"internal/workload":       "",
	"notify":                  "",
	"notify/slack/card":       "internal/image internal/text notify",
	"notify/slack/clicks":     "internal/body internal/cloud internal/text notify/slack/card",
	"notify/console":          "internal/text notify",
	"notify/fluxevent":        "internal/text notify",
	"notify/kubeevents":       "internal/text internal/workload notify",
	"notify/metrics":          "",
	"notify/slack":            "internal/cloud internal/text notify/slack/card",
	"reconcile":               "internal/image internal/text internal/workload",
	"reconcile/deliver":       "internal/text reconcile",
	"reconcile/flux":          "internal/image internal/text internal/workload reconcile reconcile/kube reconcile/trigger",
	"reconcile/gitrepo":       "internal/text reconcile reconcile/gitrepo/store reconcile/gitrepo/wire reconcile/manifest",
	"reconcile/gitrepo/store": "internal/text reconcile reconcile/gitrepo/wire reconcile/manifest",
	"reconcile/gitrepo/wire":  "internal/cloud internal/text reconcile",
	"reconcile/kube":          "internal/build",
	"reconcile/manifest":      "internal/image internal/workload",
	"reconcile/observe":       "reconcile",
	"reconcile/record":        "reconcile reconcile/kube",
	"reconcile/registry":      "internal/cloud internal/image internal/text reconcile",
	"reconcile/render":        "internal/workload reconcile reconcile/manifest",
	"reconcile/trigger":       "internal/image internal/text internal/workload reconcile",
	"trace": "gate/imagepolicy internal/image internal/program internal/text internal/workload reconcile reconcile/flux " +
		"reconcile/gitrepo reconcile/manifest reconcile/registry reconcile/trigger watcher/classify " +
		"watcher/drift",
	"watcher": "internal/image internal/text internal/workload reconcile reconcile/kube reconcile/trigger " +
		"watcher/classify watcher/drift",
	"watcher/alerts":   "internal/body",
	"watcher/classify": "internal/image",
	"watcher/drift":    "internal/image",
}

func TestPackagesImportWhatTheyAreSaidTo(t *testing.T) {
	said := maps.Clone(edges)
	for _, line := range goList(t, "-f", `{{.ImportPath}} {{join .Imports " "}}`, module+"...") {
		from, imports, _ := strings.Cut(line, " ")
		from = strings.TrimPrefix(from, module)
		if strings.HasPrefix(from, "test/") || strings.HasPrefix(from, "scripts/") {
			continue
		}
		want, placed := said[from]
		if !placed {
			t.Errorf("%s has no place in the order of packages: give it a line in this test", from)
			continue
		}
		delete(said, from)
		var got []string
		for _, to := range strings.Fields(imports) {
			if to, ours := strings.CutPrefix(to, module); ours && !strings.HasPrefix(to, "api/") {
				got = append(got, to)
			}
		}
		slices.Sort(got)
		for _, to := range got {
			if !slices.Contains(strings.Fields(want), to) {
				t.Errorf("%s imports %s; beside api it may import %q", from, to, want)
			}
		}
		for _, to := range strings.Fields(want) {
			if !slices.Contains(got, to) {
				t.Errorf("%s does not import %s any more: take it out of this test", from, to)
			}
		}
	}
	for from := range said {
		t.Errorf("there is no package %s any more: take it out of this test", from)
	}
}

// floors are the packages from the ground up: what stands on one imports nothing that stands above it.
var floors = [][]string{
	{"api/", "internal/", "gate/imagepolicy", "gate/report", "watcher/alerts", "watcher/classify", "watcher/drift"},
	{"reconcile", "notify", "reconcile/manifest"},
	{"reconcile/", "notify/slack/card"},
	{"gate", "gate/", "trace", "watcher", "notify/"},
	{"doctor"},
	{"cmd/"},
}

func TestNoPackageImportsOneOfAFloorAbove(t *testing.T) {
	floor := map[string]int{}
	for i, names := range floors {
		for _, name := range names {
			floor[name] = i
		}
	}
	names := slices.Collect(maps.Keys(floor))
	for from, imports := range edges {
		for _, to := range strings.Fields(imports) {
			if floor[longest(names, to)] > floor[longest(names, from)] {
				t.Errorf("%s imports %s, which stands above it", from, to)
			}
		}
	}
}

// longest gives the longest of the names that stands for a package, or nothing.
func longest(names []string, pkg string) string {
	best := ""
	for _, name := range names {
		fits := pkg == name || strings.HasSuffix(name, "/") && strings.HasPrefix(pkg, name)
		if fits && len(name) > len(best) {
			best = name
		}
	}
	return best
}

// unwanted are prefixes of packages that the sidecar does without, and why. Docker's credential helpers are not among
// them: go-containerregistry's authn brings them for a keychain that the sidecar never asks.
var unwanted = map[string]string{
	module + "test/":                                       "nothing made for tests is linked into the sidecar",
	module + "scripts/":                                    "nothing made for the build is linked into the sidecar",
	"cloud.google.com/":                                    "no cloud SDK",
	"google.golang.org/api/":                               "no cloud SDK",
	"github.com/aws/":                                      "no cloud SDK",
	"github.com/Azure/":                                    "no cloud SDK",
	"github.com/fluxcd/pkg/auth":                           "no cloud SDK",
	"k8s.io/kubernetes":                                    "no server of Kubernetes",
	"k8s.io/apiserver":                                     "no server of Kubernetes",
	"k8s.io/apiextensions-apiserver/pkg/api":               "no server of Kubernetes",
	"k8s.io/component-base":                                "no server of Kubernetes",
	"go.etcd.io/":                                          "no server of Kubernetes",
	"sigs.k8s.io/controller-runtime/pkg/man":               "the watcher is client-go's, without a manager",
	"sigs.k8s.io/controller-runtime/pkg/cache":             "the watcher is client-go's, without a manager",
	"sigs.k8s.io/controller-runtime/pkg/env":               "made for tests",
	"k8s.io/client-go/kubernetes/fake":                     "made for tests",
	"github.com/google/go-containerregistry/pkg/registry":  "made for tests",
	"net/http/httptest":                                    "made for tests",
	"testing":                                              "made for tests",
	"helm.sh/":                                             "the sidecar renders no charts, and Helm costs 20 MB",
	"github.com/controlplaneio-fluxcd/":                    "AGPL",
	"github.com/golangci/":                                 "a tool",
	"sigs.k8s.io/controller-tools":                         "a tool",
	"github.com/spf13/cobra":                               "the sidecar has no commands",
	"github.com/docker/docker/":                            "a registry is spoken to over HTTP",
	"github.com/google/go-containerregistry/pkg/v1/daemon": "a registry is spoken to over HTTP",
}

func TestSidecarLinksNothingItDoesNotNeed(t *testing.T) {
	deps := goList(t, "-deps", module+"cmd/sidecar")
	if len(deps) < 100 {
		t.Fatalf("go list gave %d packages: %q", len(deps), deps)
	}
	for _, dep := range deps {
		for prefix, why := range unwanted {
			types := strings.HasPrefix(dep, "k8s.io/apiextensions-apiserver/pkg/apis/")
			if strings.HasPrefix(dep, prefix) && !types {
				t.Errorf("cmd/sidecar links %s: %s (go mod why -m tells who asks)", dep, why)
			}
		}
	}
}

func goList(t *testing.T, args ...string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-e"}, args...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %q: %v\n%s", args, err, &stderr)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}
