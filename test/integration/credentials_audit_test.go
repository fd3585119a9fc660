package integration

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/notify/slack/card"
	"github.com/backstop-dev/backstop/reconcile/flux"
	"github.com/backstop-dev/backstop/test/fleet"
	"github.com/backstop-dev/backstop/test/slackstub"
	"github.com/backstop-dev/backstop/test/testenv"
)

// grants are what the default overlay and the component credentials let Backstop's ServiceAccount do, each as
// "verb group/resource/subresource".
func grants(ctx context.Context, env *testenv.Env) (map[string]bool, error) {
	text, err := env.Kubectl(ctx, "kustomize", filepath.Join(env.Root, "deploy", "kustomize", "default"))
	if err != nil {
		return nil, fmt.Errorf("build the default overlay: %w", err)
	}
	component, err := os.ReadFile(filepath.Join(env.Root, "deploy", "kustomize", "components", "credentials", "role.yaml"))
	if err != nil {
		return nil, fmt.Errorf("read the component: %w", err)
	}
	text += "\n---\n" + string(component)
	out := map[string]bool{}
	for document := range strings.SplitSeq(text, "\n---\n") {
		var role rbacv1.ClusterRole // a Role has the same rules
		if err := yaml.Unmarshal([]byte(document), &role); err != nil {
			return nil, fmt.Errorf("read the default overlay: %w", err)
		}
		// Those that are aggregated are people's.
		people := slices.ContainsFunc(slices.Collect(maps.Keys(role.Labels)), func(l string) bool { return strings.Contains(l, "aggregate-to-") })
		if people || !strings.HasSuffix(role.Kind, "Role") {
			continue
		}
		for _, r := range role.Rules {
			for _, verb := range r.Verbs {
				for _, group := range r.APIGroups {
					for _, resource := range r.Resources {
						out[verb+" "+group+"/"+resource] = true
					}
				}
			}
		}
	}
	return out, nil
}

// elsewhere says what is granted by the components unstick and fast-forward, or to every ServiceAccount, which is to
// ask what kinds there are.
var elsewhere = regexp.MustCompile(`^(delete /pods|patch apps/deployments|get (/api|/apis|/version|/openapi)\b.*)$`)

// audit says what Backstop's ServiceAccount asked for that the overlay does not grant, and which grants it used and did
// not use, on these control planes until now. What was refused counts as not granted, unless it is a Secret or a
// ServiceAccount's: tests withhold those.
func audit(ctx context.Context, envs ...*testenv.Env) (not, used, unused []string, err error) {
	granted, err := grants(ctx, envs[0])
	if err != nil {
		return nil, nil, nil, err
	}
	var uses []testenv.Use
	for _, env := range envs {
		more, err := env.Audit()
		if err != nil {
			return nil, nil, nil, err
		}
		uses = append(uses, more...)
	}
	did := map[string]bool{}
	seen := map[string]bool{}
	for _, u := range uses {
		what := u.Verb + " " + u.Group + "/" + u.Resource
		if u.Subresource != "" {
			what += "/" + u.Subresource
		}
		if u.Path != "" {
			what = u.Verb + " " + u.Path
		}
		switch {
		case u.User != "system:serviceaccount:"+testenv.Namespace+":"+testenv.ServiceAccount, elsewhere.MatchString(what):
		case u.Code == http.StatusForbidden && withheld[what]:
		case u.Code == http.StatusForbidden:
			seen[fmt.Sprintf("%s in %q was refused", what, u.Namespace)] = true
		case !granted[what]:
			seen[what] = true
		default:
			did[what] = true
		}
	}
	for _, what := range slices.Sorted(maps.Keys(granted)) {
		if !did[what] {
			unused = append(unused, what)
		}
	}
	return slices.Sorted(maps.Keys(seen)), slices.Sorted(maps.Keys(did)), unused, nil
}

// withWholeCluster runs the sidecar for a whole cluster of its own, since every other test is alone in its namespaces,
// and beside an API server that does not stream lists, as that of Kubernetes 1.33 does not unless it is told to: there
// an informer has to list before it watches.
func (w *World) withWholeCluster() *testenv.Env {
	w.t.Helper()
	env, err := testenv.Start(w.t.Context(), testenv.Options{APIServer: []string{"--feature-gates=WatchList=false"}})
	w.must(err)
	w.t.Cleanup(env.Stop)
	w.must(applyOverlay(w.t.Context(), env))
	config, err := env.ConfigForServiceAccount(w.t.Context(), testenv.Namespace, testenv.ServiceAccount)
	w.must(err)
	s := runSidecar(w.t, w, buildSidecar(w.t, env), config, "--leader-elect=true")
	w.Until("the whole cluster is watched", func() error {
		_, used, _, err := audit(w.t.Context(), env)
		w.must(err)
		for _, kind := range []string{
			"/pods", "/namespaces", "apps/deployments", "apps/statefulsets", "apps/daemonsets",
			"source.toolkit.fluxcd.io/gitrepositories", "kustomize.toolkit.fluxcd.io/kustomizations",
			"helm.toolkit.fluxcd.io/helmreleases", "image.toolkit.fluxcd.io/imagepolicies",
			"image.toolkit.fluxcd.io/imageupdateautomations", "backstop.dev/rollbacks", "backstop.dev/rollbackpolicies",
		} {
			for _, verb := range []string{"list ", "watch "} {
				if !slices.Contains(used, verb+kind) {
					return fmt.Errorf("it does not %s%s", verb, kind)
				}
			}
		}
		return nil
	})
	s.Stop(patience)
	return env
}

var withheld = map[string]bool{"get /secrets": true, "get /serviceaccounts": true}

// wide is a fleet with every kind that Backstop reads: the default Deployments, one that a HelmRelease makes, and
// workloads that nobody can blame.
func wide(s *setup) {
	s.Fleet.Apps = []string{"backend", "shop"}
	s.Vary = func(w *World) {
		ns := w.Fleet.Namespace(prod)
		w.releases(release, "TIMEOUT", "1m", "IMAGE", w.Fleet.Registry+"/shop", ":backend:", ":shop:")
		everyKind, _, _ := strings.Cut(sets, "---\napiVersion: batch") // a Job cannot be applied again
		w.Fleet.Files["apps/production/sets.yaml"] = strings.NewReplacer("NS", ns, "IMAGE", w.Fleet.Image("gone", "v1")).Replace(everyKind)
		meta := metav1.ObjectMeta{Namespace: w.Fleet.FluxNamespace(), Name: "artifact"}
		w.Fleet.Objects = append(w.Fleet.Objects,
			&sourcev1.OCIRepository{ObjectMeta: meta, Spec: sourcev1.OCIRepositorySpec{URL: "oci://registry.example.com/manifests",
				Interval: metav1.Duration{Duration: 3600e9}}},
			&sourcev1.Bucket{ObjectMeta: meta, Spec: sourcev1.BucketSpec{BucketName: "manifests", Endpoint: "s3.example.com",
				Interval: metav1.Duration{Duration: 3600e9}}})
		for _, kind := range []string{"OCIRepository", "Bucket"} {
			k := fleet.Get[*kustomizev1.Kustomization](w.Fleet, w.Fleet.FluxNamespace(), prod).DeepCopy()
			k.Name, k.Spec.Suspend = "from-"+strings.ToLower(kind), true // so that nobody applies it
			k.Spec.SourceRef.Kind, k.Spec.SourceRef.Name = kind, meta.Name
			w.Fleet.Objects = append(w.Fleet.Objects, k)
		}
	}
}

// deployment is one that a Kustomization says to have applied.
const deployment = `
apiVersion: apps/v1
kind: Deployment
metadata:
  name: NAME
  namespace: NS
  labels: {kustomize.toolkit.fluxcd.io/name: NAME, kustomize.toolkit.fluxcd.io/namespace: FLUX}
spec:
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec: {containers: [{name: a, image: IMAGE}]}
`

// otherSources makes a Deployment that fails for each Kustomization whose source is not Git, and its inventory.
func (w *World) otherSources() {
	w.t.Helper()
	for _, name := range []string{"from-ocirepository", "from-bucket"} {
		ns := w.Fleet.Namespace(prod)
		k := fleet.Get[*kustomizev1.Kustomization](w.Fleet, w.Fleet.FluxNamespace(), name)
		k.Status.Inventory = &kustomizev1.ResourceInventory{Entries: []kustomizev1.ResourceRef{{ID: ns + "_" + name + "_apps_Deployment", Version: "v1"}}}
		w.must(w.Client.Status().Update(w.t.Context(), k))
		w.must(w.Env.Apply(w.t.Context(), strings.NewReplacer("NAME", name, "NS", ns, "FLUX", w.Fleet.FluxNamespace(),
			"IMAGE", w.Fleet.Image("elsewhere", name)).Replace(deployment)))
	}
}

const nightly = `
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly, namespace: NS}
spec:
  schedule: "0 0 1 1 *"
  jobTemplate:
    spec:
      template:
        spec: {restartPolicy: Never, containers: [{name: a, image: IMAGE}]}
`

// rests waits until an environment's Kustomization has done all that it was asked for. What it still has to do would
// undo a change by hand at once.
func (w *World) rests(env string) {
	w.t.Helper()
	of := fleet.Get[*kustomizev1.Kustomization](w.Fleet, w.Fleet.FluxNamespace(), env)
	w.Until("Flux has done what it was asked for", func() error {
		k := Object(w, of)
		if asked := k.Annotations["reconcile.fluxcd.io/requestedAt"]; asked != k.Status.LastHandledReconcileAt {
			return fmt.Errorf("asked at %q, done is %q", asked, k.Status.LastHandledReconcileAt)
		}
		return nil
	})
}

// refuses makes a Canary and a Rollout that refuse an update of what is not there.
func (w *World) refuses() {
	w.t.Helper()
	for kind, of := range map[string]string{"Canary": "flagger.app/v1beta1", "Rollout": "argoproj.io/v1alpha1"} {
		w.must(w.Env.Apply(w.t.Context(), fmt.Sprintf("{apiVersion: %s, kind: %s, metadata: {name: nothing, namespace: %s}, "+
			"spec: {targetRef: {kind: Deployment, name: nothing}}}", of, kind, w.Fleet.Namespace(prod))))
	}
	w.judged(prod, "canary/nothing", refused(nil))
	w.judged(prod, "rollout/nothing", map[string]any{"phase": "Degraded", "observedGeneration": "1", "currentPodHash": "b", "stableRS": "a",
		"conditions": []any{map[string]any{"type": "Progressing", "status": "False", "reason": "RolloutAborted",
			"message": `Rollout aborted update to revision 2: Metric "x" assessed Failed`}}})
}

// changedByHand changes a Deployment and a DaemonSet, whose histories are kept by different kinds.
func (w *World) changedByHand(tag string) {
	w.t.Helper()
	w.rests(prod)
	other := w.Fleet.Image("backend", fleet.Tag(prod, 0))
	for workload, image := range map[string]string{
		"deployment/backend": w.Fleet.Image("backend", tag), "daemonset/agent": w.Fleet.Image("gone", "v1"),
	} {
		kind, name, _ := strings.Cut(workload, "/")
		w.Until("the Rollback of "+image+" knows that "+workload+" was changed by hand", func() error {
			r := w.record(prod, image)
			if r != nil && slices.ContainsFunc(r.Status.Failures, func(f v1alpha1.Failure) bool { return f.Drift != nil }) {
				return nil
			}
			live, err := w.Env.Kubectl(w.t.Context(), "get", kind, name, "-n", w.Fleet.Namespace(prod), "-o",
				"jsonpath={.spec.template.spec.containers[0].image}")
			if err == nil && live == image {
				// Also where an apply that was running has undone it.
				w.kubectl(prod, "set", "image", workload, "*="+other)
			}
			return fmt.Errorf("it is %+v", r)
		})
	}
}

// requests has a Flux object asked for a reconcile, with the product's own code and Backstop's own rights.
func (w *World) requests(ref v1alpha1.ObjectRef) {
	w.t.Helper()
	asked := flux.New(w.backstopsClient(), flux.Options{})
	w.Until(ref.String()+" is asked", func() error {
		return asked.Request(w.t.Context(), []v1alpha1.ObjectRef{ref}, "asked-by-a-test")
	})
}

func TestAuditLogTheSuiteUsesEveryGrantedVerbAndNoOther(t *testing.T) {
	t.Parallel()
	w := world(t, quick, wide)
	common.lease.Lock()
	t.Cleanup(common.lease.Unlock)
	// The Lease of an earlier test would leave nothing to create.
	_, err := w.Env.Kubectl(t.Context(), "delete", "lease", "backstop", "-n", testenv.Namespace, "--ignore-not-found")
	w.must(err)
	// Where the workloads are it may read their pull secrets, and the ServiceAccounts that name some.
	w.grantSecrets(w.Fleet.Namespace(prod), "pull", "slack-tokens")
	w.judges()
	w.refuses()
	first := startSidecar(t, w, "--leader-elect=true")
	c := w.room(slackstub.Options{})
	w.auto(prod, mode(v1alpha1.ModeApprove), onSlack, func(p *v1alpha1.RollbackPolicy) {
		p.Spec.Cooldown = metav1.Duration{}
		p.Spec.SourceRef = &v1alpha1.SourceRef{Namespace: w.Fleet.FluxNamespace(), Name: fleet.SourceName}
		p.Spec.Triggers = append(p.Spec.Triggers, v1alpha1.PolicyTrigger{Type: v1alpha1.TriggerDrift, Mode: v1alpha1.ModeApprove})
	})
	approved := func(image string) {
		t.Helper()
		r := w.waits(prod, image, "a person decides by")
		c.pressed(slackstub.Jane, c.card(r, card.Approve), card.Approve)
		w.ends(prod, image, v1alpha1.ResultVerified)
	}
	w.Settle()

	// What nobody can blame, or not in Git: each kind is looked at.
	w.otherSources()
	replace := strings.NewReplacer("NS", w.Fleet.Namespace(prod), "IMAGE", w.Fleet.Image("gone", "v2"))
	w.must(w.Env.Apply(t.Context(), replace.Replace(nightly)))
	_, err = w.Env.Kubectl(t.Context(), "create", "job", "--from=cronjob/nightly", "tonight", "-n", w.Fleet.Namespace(prod))
	w.must(err)
	for _, image := range []string{"elsewhere:from-ocirepository", "elsewhere:from-bucket", "gone:v1", "gone:v2"} {
		w.patiently(image+" is told", 2*patience, w.hasEnded(prod, w.Fleet.Registry+"/"+image))
	}
	// The main story: reverted, lifted by a newer image, which is followed by another bad one; and the same with Helm.
	one := w.publishBad("backend", fleet.Tag(prod, 1))
	chart := w.publishBad("shop", fleet.Tag(prod, 1))
	approved(one)
	approved(chart)
	w.Publish("backend", fleet.Tag(prod, 2))
	w.wroteBack(prod, "backend", fleet.Tag(prod, 2))
	w.until(prod, one, "is released", func(s *v1alpha1.RollbackStatus) bool { return s.Lifted != nil })
	w.runs(prod, "backend", fleet.Tag(prod, 2))
	two := w.publishBad("backend", fleet.Tag(prod, 3))
	approved(two)
	// An Event that says the same again is counted, not made anew.
	w.Until("the Event of the decision has been counted", func() error {
		var events corev1.EventList
		w.must(w.Client.List(t.Context(), &events))
		for _, e := range events.Items {
			if e.InvolvedObject.Namespace == w.Fleet.Namespace(prod) && e.Reason == "Decided" && e.Count > 1 {
				return nil
			}
		}
		return fmt.Errorf("none of %d has", len(events.Items))
	})
	w.changedByHand(fleet.Tag(prod, 2))
	// No new revision restores it: the Kustomization itself is asked to apply again.
	here := w.Fleet.Image("backend", fleet.Tag(prod, 2))
	c.pressed(slackstub.Jane, c.card(w.waits(prod, here, "a person decides by"), card.Reject), card.Reject)
	w.ends(prod, here, v1alpha1.ResultRestored)
	first.Stop(patience)
	// A source that hears of a push by itself, and a release that is not stalled, are not asked. Whatever the other tests
	// did before: they are asked here as the sidecar asks.
	w.requests(v1alpha1.ObjectRef{Kind: "GitRepository", Namespace: w.Fleet.FluxNamespace(), Name: fleet.SourceName})
	w.requests(v1alpha1.ObjectRef{Kind: "HelmRelease", Namespace: w.Fleet.Namespace(prod), Name: "shop"})
	// What is over is forgotten.
	second := startSidecar(t, w, "--leader-elect=true", "--history=1s")
	w.Until("the released Rollback is forgotten", func() error {
		if r := w.record(prod, one); r != nil {
			return fmt.Errorf("%s is still there", r.Name)
		}
		return nil
	})
	second.Stop(patience)

	not, used, unused, err := audit(t.Context(), w.Env, w.withWholeCluster())
	w.must(err)
	for _, what := range not {
		t.Errorf("used and not granted: %s", what)
	}
	for _, what := range unused {
		t.Errorf("granted and never used: %s", what)
	}
	t.Logf("%d verbs are granted and used", len(used))
	w.secretNowhere(second)
}
