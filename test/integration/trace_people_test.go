package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/test/fleet"
)

// A user who may look into the namespaces, but not read Secrets, is told what was not read; that is no failure.
func TestTraceReadsWithTheUsersRights(t *testing.T) {
	t.Parallel()
	w := world(t, quick, apps(backend))
	w.Settle()
	stranger, err := w.Env.KubeconfigForUser(w.Name + ":stranger")
	w.must(err)
	ns := w.Fleet.Namespace(prod)
	if out, code := w.runBackstop(stranger, "trace", "deploy/backend", "-n", ns); code != 3 || out != "" {
		t.Errorf("somebody who may read nothing gets code %d: %s", code, out)
	}
	reader, err := w.Env.KubeconfigForUser(w.Name + ":reader")
	w.must(err)
	w.mayRead(w.Name + ":reader")
	var out string
	w.Until("the reader sees all but Git", func() error {
		var code int
		if out, code = w.runBackstop(reader, "trace", "deploy/backend", "-n", ns); code != 3 {
			return fmt.Errorf("code %d:\n%s", code, out)
		}
		return nil
	})
	for _, words := range []string{
		"✓ pods", "✓ policy", "? marker", "not read: you may not read Secret " + w.Fleet.FluxNamespace() + "/fleet",
		"all right as far as could be read; not read: marker, commit",
	} {
		if !strings.Contains(out, words) {
			t.Errorf("it does not say %q:\n%s", words, out)
		}
	}
	for _, args := range [][]string{{"trace"}, {"trace", "deploy/"}, {"trace", "deploy/x", "-o", "xml"}, {"trace", "deploy/x", "--interval=1ms"}} {
		if _, code := w.runBackstop(reader, args...); code != 2 {
			t.Errorf("%q ends with %d, want 2", args, code)
		}
	}
}

// mayRead lets a user get and list Flux's objects, workloads, pods and nodes.
func (w *World) mayRead(user string) {
	w.t.Helper()
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: w.Name + "-reader"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"apps", "batch", "source.toolkit.fluxcd.io", "kustomize.toolkit.fluxcd.io", "helm.toolkit.fluxcd.io",
			"image.toolkit.fluxcd.io", "backstop.dev"}, Resources: []string{"*"}, Verbs: []string{"get", "list"}},
		{APIGroups: []string{""}, Resources: []string{"pods", "nodes", "namespaces"}, Verbs: []string{"get", "list"}},
	}}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	}
	for _, o := range []client.Object{role, binding} {
		w.must(w.Client.Create(w.t.Context(), o))
		w.t.Cleanup(func() { _ = w.Client.Delete(context.WithoutCancel(w.t.Context()), o) })
	}
}

// trails is what `backstop trace -o json` prints.
type trails struct {
	Traces []struct {
		Image, Runs string
		Hops        []struct{ Hop, Mark, Why, Fix string }
		History     []struct{ Image, Commit, Author, Subject, Backstop string }
	}
}

// An image that was pushed to production is followed until it runs, with the staging tag that it was promoted from; the
// history names every image that ran, by commit, and who brought it in.
func TestTraceFollowsAPromotionAndTellsTheHistory(t *testing.T) {
	t.Parallel()
	w := world(t, quick, apps(backend))
	w.Settle()
	ns := w.Fleet.Namespace(prod)
	args := []string{"trace", "deploy/backend", "-n", ns}
	staging := fleet.Tag("staging", 1)
	digest := w.Publish(backend, staging)
	w.must(w.Registry.Retag(backend, staging, fleet.Tag(prod, 1)))
	first := w.wroteBack(prod, backend, fleet.Tag(prod, 1))
	w.runs(prod, backend, fleet.Tag(prod, 1))
	w.Until("it has arrived", func() error {
		if out, code := w.runBackstop(w.Env.Kubeconfig, args...); code != 0 || !strings.Contains(out, "also tagged "+staging) {
			return fmt.Errorf("code %d:\n%s", code, out)
		}
		return nil
	})
	out, code := w.runBackstop(w.Env.Kubeconfig, append(args, "--watch", "-o", "json", "--history")...)
	var got trails
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 {
		t.Fatalf("%v, code %d: %s", err, code, out)
	}
	h := got.Traces[0].History
	if len(h) != 2 || h[0].Commit != first || h[0].Image != w.Fleet.Image(backend, fleet.Tag(prod, 1)) ||
		!strings.HasPrefix(h[0].Author, fleet.Author) || h[1].Image != w.Fleet.Image(backend, fleet.Tag(prod, 0)) ||
		!strings.HasPrefix(h[1].Author, "Alice ") || h[1].Subject != "Begin" {
		t.Errorf("the history is %+v", h)
	}
	if !strings.Contains(out, digest) && !strings.Contains(out, digest[:19]) {
		t.Errorf("the digest %s is not named: %s", digest, out)
	}
	// A tag that was never pushed is asked for, and one of staging, which production does not take.
	for tag, want := range map[string][2]string{
		fleet.Tag(prod, 7): {"tag", "push "}, staging: {"policy", "push the image under a tag that matches"},
	} {
		out, code := w.runBackstop(w.Env.Kubeconfig, "trace", w.Fleet.Image(backend, tag), "-n", ns, "-o", "json")
		var got trails
		if err := json.Unmarshal([]byte(out), &got); err != nil || code != 1 {
			t.Fatalf("%v, code %d: %s", err, code, out)
		}
		for _, hop := range got.Traces[0].Hops {
			if hop.Hop == want[0] && (hop.Mark != "stopped" || !strings.Contains(hop.Fix, want[1])) {
				t.Errorf("%s: at %s it says %+v", tag, want[0], hop)
			}
		}
	}
	if out, code := w.runBackstop(w.Env.Kubeconfig, "trace", "elsewhere.test/x:1", "-n", ns); code != 2 || out != "" {
		t.Errorf("an image that nothing runs: code %d, %s", code, out)
	}
}
