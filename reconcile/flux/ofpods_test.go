package flux

import (
	"context"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// What a workload's new revision fails by is looked for in Git only where Git made both revisions.
func TestBetweenWhichCommitsAWorkloadBroke(t *testing.T) {
	const before, older, unrelated, bad = "fe244a45bba0ed558285a8a48ecce231bfc1db2d", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		"cccccccccccccccccccccccccccccccccccccccc", "e70400abca8b51a05e41a04c2cf1c017fbc93c97"
	const image = "localhost:5000/backend:staging-v1.1.0-1700000200"
	manifest := func(more string) string {
		return "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: backend, namespace: develop}\nspec:\n  replicas: 2\n  template:\n" +
			"    metadata: {labels: {app: backend}}\n    spec:\n      containers:\n      - name: backend\n        image: " + image + "\n" + more
	}
	const mode, limits = "        env: [{name: MODE, value: debug}]\n", "        resources: {limits: {memory: 64Mi}}\n"
	env := []v1alpha1.TemplateChange{{Container: "backend", Part: v1alpha1.PartEnv, Name: "MODE"}}
	in := func(commit, digest string, at int64) meta.Snapshot {
		return meta.Snapshot{Digest: digest, LastReconciled: metav1.Unix(at, 0), LastReconciledStatus: "ReconciliationSucceeded",
			Metadata: map[string]string{"revision": "main@sha1:" + commit}}
	}
	for name, c := range map[string]struct {
		says    map[string]string
		history meta.History
		// live changes the revision that fails, and former the one before.
		live, former func(*corev1.PodSpec)
		changed      []v1alpha1.TemplateChange
		scene        func(t *testing.T, s *scene)
		// good is the commit, with its digest; want is why there is none.
		good, digest, want string
	}{
		"a variable": {says: map[string]string{before: manifest(""), bad: manifest(mode)}, good: before, digest: "d1"},
		"a variable, and the health check still runs": {says: map[string]string{before: manifest(""), bad: manifest(mode)}, history: meta.History{in(before, "d1", 1)},
			good: before, digest: "d1"},
		"a commit of something else was applied since": {says: map[string]string{before: manifest(""), unrelated: manifest(mode), bad: manifest(mode)},
			history: meta.History{in(bad, "d3", 3), in(unrelated, "d2", 2), in(before, "d1", 1)}, good: before, digest: "d1"},
		"nothing in Git changed it": {says: map[string]string{before: manifest(mode), bad: manifest(mode)}, want: "nothing in Git changed it"},
		"a person set the variable": {says: map[string]string{before: manifest(""), older: manifest(limits), bad: manifest("")},
			history: meta.History{in(bad, "d3", 3), in(before, "d2", 2), in(older, "d1", 1)}, want: "is not what ran before"},
		"a person removed it by hand from what is Git's": {says: map[string]string{before: manifest(""), bad: manifest(limits)}, want: "what fails is not what Git says"},
		"something else ran before":                      {says: map[string]string{before: manifest(limits), bad: manifest(mode)}, want: "is not what ran before"},
		"a webhook changed it too": {says: map[string]string{before: manifest(""), bad: manifest(mode)}, live: func(s *corev1.PodSpec) { s.PriorityClassName, s.HostNetwork = "x", true },
			changed: append([]v1alpha1.TemplateChange{{Part: v1alpha1.PartPod}}, env...), want: "differ in something else"},
		"it came with the commit":        {says: map[string]string{before: "", bad: manifest(mode)}, want: "is not in Git at"},
		"the former revision is gone":    {says: map[string]string{before: manifest(""), bad: manifest(mode)}, scene: func(_ *testing.T, s *scene) { s.more = s.more[:len(s.more)-1] }, want: "former revision backend-1 is gone"},
		"the Deployment is gone":         {scene: func(_ *testing.T, s *scene) { s.deployment = nil }, want: "does not exist any more"},
		"Flux remembers nothing":         {says: map[string]string{bad: manifest(mode)}, history: meta.History{in(bad, "d2", 2)}, want: "does not remember"},
		"a variable of the cluster":      {says: map[string]string{before: manifest(""), bad: manifest(strings.Replace(mode, "debug", `"${mode}"`, 1))}, want: "what fails is not what Git says"},
		"its namespace is Flux's to add": {says: map[string]string{before: strings.Replace(manifest(""), ", namespace: develop", "", 1), bad: manifest(mode)}, good: before, digest: "d1"},
	} {
		t.Run(name, func(t *testing.T) {
			s := captured(t)
			settle(&s.k.Status.Conditions)
			s.k.Status.LastAttemptedRevision = "main@sha1:" + bad
			if s.k.Status.History = c.history; c.history == nil {
				s.k.Status.History = meta.History{in(bad, "d2", 2), in(before, "d1", 1)}
			}
			spec := &s.deployment.Spec.Template.Spec
			former := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: "backend-1", Namespace: "develop",
				OwnerReferences: []metav1.OwnerReference{{Kind: "Deployment", Name: "backend", UID: s.deployment.UID, Controller: new(true)}}}}
			former.Spec.Template = *s.deployment.Spec.Template.DeepCopy()
			former.Spec.Template.Labels["pod-template-hash"] = "1"
			spec.Containers[0].Env = []corev1.EnvVar{{Name: "MODE", Value: "debug"}}
			if c.live != nil {
				c.live(spec)
			}
			if c.former != nil {
				c.former(&former.Spec.Template.Spec)
			}
			uid := s.deployment.UID
			s.more = append(s.more, former)
			if c.scene != nil {
				c.scene(t, s)
			}
			s.options.Render = func(_ context.Context, _ reconcile.Source, commit string, _ kustomizev1.KustomizationSpec) ([]*unstructured.Unstructured, error) {
				if c.says[commit] == "" {
					return nil, nil
				}
				o := &unstructured.Unstructured{}
				return []*unstructured.Unstructured{o}, yaml.Unmarshal([]byte(c.says[commit]), &o.Object)
			}
			var asked *Suspicion
			s.options.Blame = func(_ context.Context, _ reconcile.Source, q *Suspicion) (reconcile.Blamed, error) {
				asked = q
				return reconcile.Blamed{}, nil
			}
			var undo *Undoing
			s.options.Undo = func(_ context.Context, _ reconcile.Source, u *Undoing) (reconcile.UndoProof, error) {
				undo = u
				return nil, nil
			}
			f := s.flux(t)
			key := reconcile.Key{Namespace: "develop", Subject: v1alpha1.Subject{APIVersion: "apps/v1", Kind: "Deployment", Name: "backend"}}
			fail := v1alpha1.Failure{Trigger: v1alpha1.TriggerRollout, Cause: v1alpha1.CauseCrashed,
				Workload: v1alpha1.Workload{Kind: "Deployment", Name: "backend", UID: uid}, Rollout: &v1alpha1.Rollout{Former: "backend-1", Changed: env}}
			if c.changed != nil {
				fail.Rollout.Changed = c.changed
			}
			_, err := f.Blame(t.Context(), key, fail, nil)
			if why, _ := reconcile.AsRefusal(err); !strings.Contains(why, c.want) || (err == nil) != (c.want == "") {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if err != nil {
				return
			}
			if asked.Good != c.good || asked.Bad != bad || !asked.Pods || !asked.Files || asked.Object.String() != "Deployment/develop/backend" {
				t.Errorf("searched %+v", asked)
			}
			if _, err := f.Undo(t.Context(), key, fail, v1alpha1.Suspect{}, nil); err != nil {
				t.Fatal(err)
			}
			if undo.Good != c.good || undo.Bad != bad || !undo.Pods || len(undo.Digests) != 1 || undo.Digests[0] != c.digest || len(undo.Applied) != 3 {
				t.Errorf("proved by %+v", undo)
			}
		})
	}
}
