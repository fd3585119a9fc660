package deploy_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// controller is a Deployment as Flux installs it.
const controller = `---
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME, namespace: flux-system}
spec:
  template:
    spec:
      containers:
      - name: manager
        args: [--watch-all-namespaces=true, --feature-gates=ExternalArtifact=true]
`

// The component and the FluxInstance's patches set the gate in the controllers that check health, and in no other one,
// beside the gates that are there.
func TestTheGatesAreSetInTheControllersThatCheckHealth(t *testing.T) {
	folder := filepath.Join("..", "..", "deploy", "flux")
	read := func(name string) []byte {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	var instance struct {
		Spec struct {
			Kustomize struct {
				Patches []types.Patch `json:"patches"`
			} `json:"kustomize"`
		} `json:"spec"`
	}
	if err := yaml.UnmarshalStrict(read("fluxinstance.yaml"), &instance); err != nil {
		t.Fatal(err)
	}
	patched, err := yaml.Marshal(types.Kustomization{Resources: []string{"controllers.yaml"}, Patches: instance.Spec.Kustomize.Patches})
	if err != nil {
		t.Fatal(err)
	}
	for name, kustomization := range map[string]string{
		"flux bootstrap": "resources: [controllers.yaml]\ncomponents: [flux]\n",
		"FluxInstance":   string(patched),
	} {
		t.Run(name, func(t *testing.T) {
			fs := filesys.MakeFsInMemory()
			var all strings.Builder
			for _, c := range []string{"source", "kustomize", "helm", "notification", "image-automation"} {
				all.WriteString(strings.ReplaceAll(controller, "NAME", c+"-controller"))
			}
			for file, text := range map[string][]byte{
				"/x/controllers.yaml": []byte(all.String()), "/x/kustomization.yaml": []byte(kustomization),
				"/x/flux/kustomization.yaml": read("kustomization.yaml"),
			} {
				if err := fs.WriteFile(file, text); err != nil {
					t.Fatal(err)
				}
			}
			built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(fs, "/x")
			if err != nil {
				t.Fatal(err)
			}
			var on []string
			for _, r := range built.Resources() {
				var d appsv1.Deployment
				if err := yaml.Unmarshal([]byte(r.MustYaml()), &d); err != nil {
					t.Fatal(err)
				}
				args := d.Spec.Template.Spec.Containers[0].Args
				if slices.Contains(args, "--feature-gates=CancelHealthCheckOnNewRevision=true") {
					on = append(on, d.Name)
				}
				if !slices.Contains(args, "--feature-gates=ExternalArtifact=true") {
					t.Errorf("%s lost a gate: %v", d.Name, args)
				}
			}
			slices.Sort(on)
			if diff := cmp.Diff([]string{"helm-controller", "kustomize-controller"}, on); diff != "" {
				t.Error(diff)
			}
		})
	}
}
