package workload_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/backstop-dev/backstop/internal/workload"
)

func TestNamedTakesWhatKubectlTakes(t *testing.T) {
	for word, want := range map[string]string{
		"deploy": "Deployment", "Deployment": "Deployment", "deployments": "Deployment", "deployment.apps": "Deployment",
		"deployments.v1.apps": "Deployment", "sts": "StatefulSet", "ds": "DaemonSet", "cj": "CronJob", "cronjob.batch": "CronJob",
		"rollout": "Rollout", "ro": "Rollout", "rollouts.argoproj.io": "Rollout", "clone": "CloneSet", "clonesets.apps.kruise.io": "CloneSet",
		"rs": "", "jobs": "", "deployment.batch": "", "": "", "pods": "",
	} {
		k, ok := workload.Named(word)
		if ok != (want != "") || k.Kind != want {
			t.Errorf("%q is %q, want %q", word, k.Kind, want)
		}
	}
}

func TestEveryKindSaysWhatIsNeededOfIt(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range workload.Kinds() {
		for _, word := range append(slices.Clone(k.Names), k.Resource, k.Kind) {
			if seen[word] {
				t.Errorf("%s is taken twice", word)
			}
			seen[word] = true
		}
		if k.Version == "" || k.Resource == "" || k.Template[len(k.Template)-1] != "template" {
			t.Errorf("%s lacks something: %+v", k.Kind, k)
		}
		if k.Role == "" {
			continue
		}
		data, err := os.ReadFile(filepath.Join("../../deploy/kustomize/components", k.Role, "kustomization.yaml"))
		if err != nil {
			t.Errorf("%s has no Role: %v", k.Kind, err)
			continue
		}
		want := fmt.Sprintf("value: {apiGroups: [%s], resources: [%s], verbs: [get, list]}", k.Group, k.Resource)
		if !strings.Contains(string(data), want) {
			t.Errorf("the component %s does not let Backstop read %s", k.Role, k.Resource)
		}
	}
}

func TestImagesOfAnyKind(t *testing.T) {
	for text, want := range map[string]map[string]string{
		"kind: CronJob\nspec: {jobTemplate: {spec: {template: {spec: {containers: [{name: a, image: 'x:1'}]}}}}}": {"a": "x:1"},
		"kind: Rollout\nspec: {template: {spec: {initContainers: [{name: i, image: 'y:1'}], containers: [{name: a, image: 'x:1'}]}}}": {
			"i": "y:1", "a": "x:1"},
		"kind: Workflow\nspec: {template: {spec: {containers: [{name: a, image: 'x:1'}, {image: z}]}}}": {"a": "x:1"},
		"kind: Deployment\nspec: {}": nil,
	} {
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, workload.Images(o)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}
