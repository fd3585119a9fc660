package integration

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/doctor"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/flux"
	"github.com/backstop-dev/backstop/reconcile/gitrepo"
	"github.com/backstop-dev/backstop/reconcile/registry"
	"github.com/backstop-dev/backstop/test/fleet"
	"github.com/backstop-dev/backstop/trace"
)

// examined is what the doctor says of production. Backstop and Flux's controllers are taken to run in the world's own
// namespace of Flux.
func (w *World) examined() *doctor.Report {
	w.t.Helper()
	git, err := gitrepo.New(w.scratch("mirrors"), gitrepo.Options{})
	w.must(err)
	g := &doctor.Gatherer{
		Client: w.Client, Flux: flux.New(w.Client, flux.Options{Person: true}), Git: git, Registry: registry.New(registry.Options{}),
		Logins: func(context.Context, string) reconcile.Access { return reconcile.Access{} }, Now: time.Now,
		Home: w.Fleet.FluxNamespace(), FluxHome: w.Fleet.FluxNamespace(),
	}
	facts, err := g.Gather(w.t.Context(), w.Fleet.Namespace(prod))
	w.must(err)
	r := doctor.Examine(facts)
	return &r
}

// diagnosis is a report as people read it.
func diagnosis(r *doctor.Report) string {
	var b strings.Builder
	_ = doctor.Print(&b, r, true, false)
	return b.String()
}

// found gives the checks of a name.
func found(r *doctor.Report, name string) []doctor.Check {
	all := r.General
	for _, p := range r.Workloads {
		all = append(all[:len(all):len(all)], p.Checks...)
	}
	return slices.DeleteFunc(slices.Clone(all), func(c doctor.Check) bool { return c.Name != name })
}

// deployment makes one in the namespace of Flux.
func (w *World) inFlux(name string, replicas int32, args ...string) *appsv1.Deployment {
	labels := map[string]string{"app.kubernetes.io/name": name}
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: w.Fleet.FluxNamespace(), Name: name, Labels: labels},
		Spec: appsv1.DeploymentSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{
				Containers: []corev1.Container{{Name: name, Image: w.Fleet.Image(backend, "sidecar"), Args: args}},
			}}}}
}

// may lets Backstop's ServiceAccount, which is taken to be in the namespace of Flux, do something in a namespace. What
// the Role of that name granted before is forgotten.
func (w *World) may(role, namespace string, rule rbacv1.PolicyRule) {
	w.t.Helper()
	meta := metav1.ObjectMeta{Namespace: namespace, Name: role}
	for _, o := range []client.Object{
		&rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{rule}},
		&rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: w.Fleet.FluxNamespace(), Name: "backstop"}}},
	} {
		err := w.Client.Create(w.t.Context(), o)
		if apierrors.IsAlreadyExists(err) {
			err = w.Client.Update(w.t.Context(), o)
		}
		w.must(err)
	}
}

// sees says whether Backstop, taken to be in the namespace of Flux, may see what its ClusterRole lists.
func sees(yes bool) func(w *World) {
	return func(w *World) {
		w.t.Helper()
		b := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: w.Name},
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "backstop"},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: w.Fleet.FluxNamespace(), Name: "backstop"}}}
		if yes {
			w.must(w.Client.Create(w.t.Context(), b))
			return
		}
		w.must(w.Client.Delete(context.Background(), b))
	}
}

// mayReadSecrets lets Backstop read Secrets, as the component credentials does.
func (w *World) mayReadSecrets(namespace string, names ...string) {
	w.t.Helper()
	w.may("backstop-credentials", namespace, rbacv1.PolicyRule{
		APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: names, Verbs: []string{"get"},
	})
}

// ailment is one thing that would be in a rollback's way.
type ailment struct {
	check, why, fix string
	spoil           func(w *World)
	// mend does what the fix says, where that is not a command alone.
	mend func(w *World, fix string)
	// after cleans up what the fix leaves as it is.
	after func(w *World)
}

// many is a production with a workload of each kind: a Deployment, a HelmRelease, a DaemonSet, and a Kustomization that
// others can depend on.
func many(s *setup) {
	s.Vary = func(w *World) {
		w.Publish(backend, "agent")
		w.releases(release, "TIMEOUT", "5m")
		w.Fleet.Files[agentFile] = w.words(agentSet)
		w.Fleet.Files["infra/settings.yaml"] = w.words(settings)
		infra := fleet.Get[*kustomizev1.Kustomization](w.Fleet, w.Fleet.FluxNamespace(), prod).DeepCopy()
		infra.Name, infra.Spec.Path = "infra", "./infra"
		w.Fleet.Objects = append(w.Fleet.Objects, infra)
	}
}

// ails makes each ailment, after which there is to be none.
func (w *World) ails(all map[string]ailment, healthy func() error) {
	for _, name := range slices.Sorted(maps.Keys(all)) {
		well := w.t.Run(name, func(t *testing.T) {
			w := *w
			w.t = t
			a := all[name]
			w.ail(&a)
			w.Until("nothing is in the way", healthy)
		})
		if !well {
			w.t.Fatal("what is left of it would be in the way of the others")
		}
	}
}

// ail makes an ailment: it must be said with the fix, and be gone once the fix was done.
func (w *World) ail(a *ailment) {
	a.spoil(w)
	var c doctor.Check
	w.Until("the doctor says so", func() error {
		r := w.examined()
		for _, c = range found(r, a.check) {
			if c.Mark == trace.Blocked && strings.Contains(c.Why, w.words(a.why)) && strings.Contains(c.Fix, w.words(a.fix)) {
				return nil
			}
		}
		return fmt.Errorf("want %s %q, fix: %s\n%s", a.check, w.words(a.why), w.words(a.fix), diagnosis(r))
	})
	if a.mend == nil {
		w.do(c.Fix)
	} else {
		a.mend(w, c.Fix)
	}
	w.Until("the fix helps: "+c.Fix, func() error {
		for _, now := range found(w.examined(), a.check) {
			if now.Mark == trace.Blocked && now.At == c.At {
				return fmt.Errorf("%+v", now)
			}
		}
		return nil
	})
	if a.after != nil {
		a.after(w)
	}
}

// Each ailment is made, must be said with the fix, and be gone once the fix was done.
func TestDoctorNamesEveryAilmentAndItsFix(t *testing.T) {
	t.Parallel()
	w := world(t, quick, apps(backend), many)
	w.Publish(backend, "sidecar")
	w.auto(prod)
	ns := w.Fleet.FluxNamespace()
	w.must(w.Client.Create(t.Context(), w.inFlux("backstop", 1)))
	w.must(w.Client.Create(t.Context(), w.inFlux("kustomize-controller", 0, "--watch-all-namespaces=true")))
	w.mayReadSecrets(ns, "fleet")
	sees(true)(w)
	t.Cleanup(func() { sees(false)(w) })
	w.Settle()
	healthy := func() error {
		if r := w.examined(); doctor.Code(r) != trace.CodeGood {
			return errors.New(diagnosis(r))
		}
		return nil
	}
	w.Until("nothing is in the way", healthy)
	t.Log("\n" + diagnosis(w.examined()))
	out, code := w.runBackstop(w.Env.Kubeconfig, "doctor", "-n", w.Fleet.Namespace(prod), "--backstop-namespace="+ns, "--flux-namespace="+ns)
	if code != 0 || !strings.Contains(out, "3 of 3 workloads are ready for a rollback") {
		t.Errorf("code %d:\n%s", code, out)
	}
	all := map[string]ailment{}
	for _, some := range []map[string]ailment{ailmentsOfBackstop(), ailmentsOfGit(), ailmentsOfTheRegistry(), ailmentsOfFlux(), ailmentsThatDelay()} {
		maps.Copy(all, some)
	}
	w.ails(all, healthy)
	stranger, err := w.Env.KubeconfigForUser(w.Name + ":stranger")
	w.must(err)
	if out, code := w.runBackstop(stranger, "doctor", "-n", w.Fleet.Namespace(prod)); code != 3 || out != "" {
		t.Errorf("somebody who may read nothing gets code %d: %s", code, out)
	}
	if _, code := w.runBackstop(stranger, "doctor", "production"); code != 2 {
		t.Errorf("an argument too many: code %d", code)
	}
}

// A user who may look into the namespaces, but not read Secrets nor ask what Backstop may, is told what was not read.
func TestDoctorReadsWithTheUsersRights(t *testing.T) {
	t.Parallel()
	w := world(t, quick, apps(backend))
	w.Publish(backend, "sidecar")
	w.auto(prod)
	w.must(w.Client.Create(t.Context(), w.inFlux("backstop", 1)))
	w.Settle()
	reader, err := w.Env.KubeconfigForUser(w.Name + ":reader")
	w.must(err)
	w.mayRead(w.Name + ":reader")
	ns := w.Fleet.FluxNamespace()
	var out string
	w.Until("the reader sees what there is to see", func() error {
		var code int
		out, code = w.runBackstop(reader, "doctor", "-n", w.Fleet.Namespace(prod), "--backstop-namespace="+ns, "--flux-namespace="+ns, "-v")
		if code != 3 {
			return fmt.Errorf("code %d:\n%s", code, out)
		}
		return nil
	})
	for _, words := range []string{
		"0 of 1 workloads are ready for a rollback", "not read: you may not read Secret " + ns + "/fleet",
		"not read: you may not ask what Backstop may read (create subjectaccessreviews)", "✓ prove", "✓ apply", "✓ policy",
	} {
		if !strings.Contains(out, words) || strings.Contains(out, "✗") {
			t.Errorf("it does not say %q:\n%s", words, out)
		}
	}
}
