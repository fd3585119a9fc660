// Package imports_test keeps Backstop's packages in one direction, and what is
// linked into the sidecar small.
//
//	cmd/backstop → all but notify · cmd/sidecar → all but gate, trace and doctor · watcher → reconcile, classify · gitrepo → reconcile, manifest ·
//	flux, registry → reconcile · notify → api · render → manifest · gate → render, manifest, registry ·
//	trace → reconcile and its adapters, classify, drift, gate/imagepolicy · doctor → reconcile and its adapters ·
//	reconcile → api
package imports_test

import (
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/backstop-dev/backstop/"

// allowed says what a package may import of this module. A name with a slash at
// its end stands for all packages below, the longest that fits counts; api and
// the packages of nouns may be imported by all.
var allowed = map[string][]string{
	"api/":               {},
	"cmd/backstop":       {"internal/", "reconcile", "reconcile/", "watcher", "watcher/", "gate", "gate/report", "gate/sources", "trace", "doctor"},
	"cmd/sidecar":        {"internal/", "notify", "notify/", "reconcile", "reconcile/", "watcher", "watcher/alerts"},
	"doctor":             {"reconcile", "reconcile/", "trace"},
	"gate":               {"gate/", "reconcile", "reconcile/manifest", "reconcile/registry", "reconcile/render"}, // reconcile has the question to ask
	"gate/chart":         {"gate/sources", "reconcile/manifest", "reconcile/render"},
	"gate/imagepolicy":   {},
	"gate/report":        {},
	"gate/sources":       {"reconcile/manifest"},
	"internal/":          {},
	"notify":             {},
	"notify/":            {"notify", "notify/card"},
	"reconcile":          {},
	"reconcile/":         {"reconcile"}, // an adapter knows the ports, and no other adapter
	"reconcile/flux":     {"reconcile", "reconcile/kube"},
	"reconcile/gitrepo":  {"reconcile", "reconcile/gitrepo/", "reconcile/manifest"},
	"reconcile/gitrepo/": {"reconcile", "reconcile/manifest"},
	"reconcile/kube":     {"internal/build"},
	"reconcile/manifest": {},
	"reconcile/record":   {"reconcile", "reconcile/kube"},
	"reconcile/render":   {"reconcile", "reconcile/manifest"},
	"trace":              {"reconcile", "reconcile/", "watcher/classify", "watcher/drift", "gate/imagepolicy"},
	"watcher":            {"reconcile", "reconcile/kube", "reconcile/trigger", "watcher/classify", "watcher/drift"},
	"watcher/alerts":     {},
	"watcher/classify":   {},
	"watcher/drift":      {},
}

// nouns are packages that know nothing of Backstop, beside api.
var nouns = []string{"internal/cloud", "internal/image", "internal/text", "internal/workload"}

func TestPackagesImportInOneDirection(t *testing.T) {
	for _, line := range goList(t, "-f", `{{.ImportPath}} {{join .Imports " "}}`, module+"...") {
		from, imports, _ := strings.Cut(line, " ")
		from = strings.TrimPrefix(from, module)
		if strings.HasPrefix(from, "test/") || strings.HasPrefix(from, "scripts/") {
			continue
		}
		place := longest(slices.Collect(maps.Keys(allowed)), from)
		if place == "" {
			t.Errorf("%s has no place in the order of packages: give it a line in this test", from)
			continue
		}
		for _, to := range strings.Fields(imports) {
			to, ours := strings.CutPrefix(to, module)
			noun := strings.HasPrefix(to, "api/") || slices.Contains(nouns, to)
			if ours && !noun && longest(allowed[place], to) == "" {
				t.Errorf("%s imports %s; beside api it may import %q", from, to, allowed[place])
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
