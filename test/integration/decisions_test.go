package integration

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
)

// user is somebody with a kubeconfig, who may do in an environment what a role of deploy/kustomize/people grants.
type user struct {
	*World
	name, kubeconfig, namespace string
}

// user makes one; without a role it may do nothing. The name is the world's own.
func (w *World) user(name, env, role string) *user {
	w.t.Helper()
	u := &user{World: w, name: w.Name + ":" + name, namespace: w.Fleet.Namespace(env)}
	var err error
	u.kubeconfig, err = w.Env.KubeconfigForUser(u.name)
	w.must(err)
	if role == "" {
		return u
	}
	w.must(w.Client.Create(w.t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: u.namespace, Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: u.name}},
	}))
	return u
}

// backstop runs the CLI as the user.
func (u *user) backstop(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(u.t.Context(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, buildCommands(u.t, u.Env),
		append(args, "--namespace="+u.namespace, "--kubeconfig="+u.kubeconfig)...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("backstop %s: %w: %s", args[0], err, out)
	}
	return string(out), err
}

// patch is kubectl patch as backstop approve --help tells it.
func (u *user) patch(r *v1alpha1.Rollback, by string, answer v1alpha1.Answer) error {
	question := ""
	if q := Object(u.World, r).Status.Question; q != nil {
		question = q.ID
	}
	decision := fmt.Sprintf(`{"by":%q,"question":%q,"answer":%q,"at":%q}`, by, question, answer, time.Now().UTC().Format("2006-01-02T15:04:05.000000Z"))
	p := fmt.Sprintf(`[{"op":"add","path":"/spec/decisions","value":[%s]}]`, decision)
	if len(Object(u.World, r).Spec.Decisions) > 0 {
		p = fmt.Sprintf(`[{"op":"add","path":"/spec/decisions/-","value":%s}]`, decision)
	}
	_, err := u.Env.KubectlAs(u.t.Context(), u.kubeconfig, "patch", "rollback", r.Name, "--namespace="+u.namespace, "--type=json", "--patch="+p)
	return err
}

// asked waits for a bad image of an app to be asked about.
func (w *World) asked(app, tag string) (image string, r *v1alpha1.Rollback) {
	w.t.Helper()
	image = w.publishBad(app, tag)
	w.wroteBack(prod, app, tag)
	return image, w.waits(prod, image, "a person decides by", "the policy asks for an approval")
}

func TestApproveAndRejectByCLIAndByKubectlPatch(t *testing.T) {
	t.Parallel()
	w := world(t, quick, apps("api", "web", "worker", "cron"))
	startSidecar(t, w)
	w.auto(prod, mode(v1alpha1.ModeApprove))
	alice, bob := w.user("alice", prod, "backstop-approver"), w.user("bob", prod, "backstop-approver")
	w.Settle()
	images, records := map[string]string{}, map[string]*v1alpha1.Rollback{}
	for _, app := range w.Fleet.Apps {
		images[app], records[app] = w.asked(app, fleet.Tag(prod, 1))
	}
	w.unmoved(prod, w.Tip())

	out, err := alice.backstop("approve", records["api"].Name, "--reason=seen on staging too")
	w.must(err)
	if want := "rollback/" + records["api"].Name + ": approve recorded for " + alice.name + "\nFollow it: "; !strings.HasPrefix(out, want) {
		t.Errorf("backstop approve says %q, want %q", out, want)
	}
	w.must(bob.patch(records["web"], bob.name, v1alpha1.Approve))
	_, err = alice.backstop("reject", "rollback/"+records["worker"].Name, "--reason=the registry is being repaired")
	w.must(err)
	w.must(bob.patch(records["cron"], bob.name, v1alpha1.Reject))

	for app, by := range map[string]*user{"api": alice, "web": bob} {
		r := w.ends(prod, images[app], v1alpha1.ResultVerified)
		if r.Status.Verdict.By != by.name || r.Status.Verdict.Answer != v1alpha1.Approve {
			t.Errorf("%s: the verdict is %+v, want %s's approval", app, r.Status.Verdict, by.name)
		}
		if body := w.git("show", "-s", "--format=%B", r.Status.Change.Commit); !strings.Contains(body, "Approved-by: "+by.name) {
			t.Errorf("the revert does not say who approved it:\n%s", body)
		}
		w.runs(prod, app, fleet.Tag(prod, 0))
	}
	w.ends(prod, images["worker"], v1alpha1.ResultRejected, alice.name+" keeps "+images["worker"]+": the registry is being repaired")
	w.ends(prod, images["cron"], v1alpha1.ResultRejected, bob.name+" keeps "+images["cron"]+": no reason given")
	w.unmoved(prod, w.Tip())
	for app, tag := range map[string]string{"api": fleet.Tag(prod, 0), "web": fleet.Tag(prod, 0), "worker": fleet.Tag(prod, 1), "cron": fleet.Tag(prod, 1)} {
		if !strings.Contains(w.File(w.Fleet.File(prod, app)), w.Fleet.Image(app, tag)+" ") {
			t.Errorf("Git does not say %s of %s:\n%s", tag, app, w.File(w.Fleet.File(prod, app)))
		}
	}
	// Who comes too late is told so.
	if _, err := bob.backstop("reject", records["api"].Name); err == nil || !strings.Contains(err.Error(), "is decided: Approve by "+alice.name) {
		t.Errorf("a late answer: %v", err)
	}
}

func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	s := startSidecar(t, w)
	w.auto(prod, mode(v1alpha1.ModeApprove))
	alice, bob := w.user("alice", prod, "backstop-approver"), w.user("bob", prod, "backstop-approver")
	w.Settle()

	// Both say yes while Backstop works: one is counted, whoever it is, and Git is changed once.
	image, r := w.asked("backend", fleet.Tag(prod, 1))
	errs := map[*user]error{}
	var mu sync.Mutex
	var both sync.WaitGroup
	for _, u := range []*user{alice, bob} {
		both.Go(func() {
			_, err := u.backstop("approve", r.Name)
			mu.Lock()
			defer mu.Unlock()
			errs[u] = err
		})
	}
	both.Wait()
	r = w.ends(prod, image, v1alpha1.ResultVerified)
	for u, err := range errs {
		switch {
		case err == nil && !strings.Contains(fmt.Sprint(r.Spec.Decisions), u.name):
			t.Errorf("%s's answer is not recorded: %+v", u.name, r.Spec.Decisions)
		case err != nil && (r.Status.Verdict.By == u.name || !strings.Contains(err.Error(), "is decided: Approve by ")):
			t.Errorf("%s: %v", u.name, err)
		}
	}
	if n := w.reverts(); n != 1 {
		t.Errorf("%d reverts, want 1", n)
	}

	// One says no and then the other yes before Backstop sees either: the first counts, the other is recorded.
	image, r = w.asked("frontend", fleet.Tag(prod, 1))
	tip := w.Tip()
	s.Stop(10 * time.Second)
	w.must(bob.patch(r, bob.name, v1alpha1.Reject))
	_, err := alice.backstop("approve", r.Name)
	w.must(err)
	startSidecar(t, w)
	r = w.ends(prod, image, v1alpha1.ResultRejected, bob.name+" keeps "+image)
	if len(r.Spec.Decisions) != 2 || r.Status.Verdict.By != bob.name {
		t.Errorf("the verdict is %+v of %+v", r.Status.Verdict, r.Spec.Decisions)
	}
	w.unmoved(prod, tip)
}

func TestOneUserInAnothersName(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	startSidecar(t, w)
	w.auto(prod, mode(v1alpha1.ModeApprove))
	alice, mallory := w.user("alice", prod, "backstop-approver"), w.user("mallory", prod, "backstop-approver")
	viewer, nobody := w.user("viewer", prod, "backstop-viewer"), w.user("nobody", prod, "")
	w.Settle()
	_, r := w.asked("backend", fleet.Tag(prod, 1))
	tip := w.Tip()
	refused := func(err error, says string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("want a refusal that says %q, got: %v", says, err)
		}
	}
	refused(mallory.patch(r, alice.name, v1alpha1.Approve),
		"decide in your own name: by must be "+mallory.name+", or run backstop approve or backstop reject, which fill it in")
	refused(mallory.patch(r, "slack:T1/U1", v1alpha1.Approve), "decide in your own name: by must be "+mallory.name)
	verdict := `{"status":{"verdict":{"answer":"Approve","by":"` + alice.name + `","at":"2026-11-21T09:00:00.000000Z"}}}`
	_, err := w.Env.KubectlAs(t.Context(), mallory.kubeconfig, "patch", "rollback", r.Name, "--namespace="+mallory.namespace,
		"--subresource=status", "--type=merge", "--patch="+verdict)
	refused(err, "forbidden")
	_, err = viewer.backstop("approve", r.Name)
	refused(err, "forbidden")
	_, err = nobody.backstop("approve", r.Name)
	refused(err, "forbidden")
	w.unmoved(prod, tip)
	if r = Object(w, r); len(r.Spec.Decisions) != 0 || r.Status.Verdict != nil {
		t.Errorf("decided: %+v %+v", r.Spec.Decisions, r.Status.Verdict)
	}
	// Nor is alice's own answer hers to change, whether it is the name or the second answer that is refused first.
	w.must(alice.patch(r, alice.name, v1alpha1.Reject))
	refused(mallory.patch(r, alice.name, v1alpha1.Approve), "")
	w.ends(prod, r.Spec.Subject.Name, v1alpha1.ResultRejected, alice.name)
	w.unmoved(prod, tip)
}

func TestExpiredThenApproved(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	startSidecar(t, w)
	w.auto(prod, mode(v1alpha1.ModeApprove), func(p *v1alpha1.RollbackPolicy) { p.Spec.Approval.Timeout.Duration = time.Second })
	alice := w.user("alice", prod, "backstop-approver")
	w.Settle()
	bad := w.publishBad("backend", fleet.Tag(prod, 1))
	tip := w.wroteBack(prod, "backend", fleet.Tag(prod, 1))
	r := w.ends(prod, bad, v1alpha1.ResultExpired, "nobody decided in 1s; it can still be approved or rejected", "the policy asks for an approval")
	w.unmoved(prod, tip)
	_, err := alice.backstop("approve", r.Name)
	w.must(err)
	r = w.ends(prod, bad, v1alpha1.ResultVerified, "runs "+w.Fleet.Image("backend", fleet.Tag(prod, 0)))
	if r.Status.Verdict.By != alice.name || len(w.rollbacksOf(prod, bad)) != 1 {
		t.Errorf("the verdict is %+v, of %d Rollbacks", r.Status.Verdict, len(w.rollbacksOf(prod, bad)))
	}
	w.runs(prod, "backend", fleet.Tag(prod, 0))
	if n := w.reverts(); n != 1 {
		t.Errorf("%d reverts, want 1", n)
	}
}

// rollbacksOf are the records of an image.
func (w *World) rollbacksOf(env, image string) []v1alpha1.Rollback {
	w.t.Helper()
	var list v1alpha1.RollbackList
	w.must(w.Client.List(w.t.Context(), &list, client.InNamespace(w.Fleet.Namespace(env))))
	var out []v1alpha1.Rollback
	for _, r := range list.Items {
		if r.Spec.Subject.Name == image {
			out = append(out, r)
		}
	}
	return out
}

// pods of an app that fail, by name.
func (w *World) pods(env, app string) map[string]corev1.PodStatus {
	w.t.Helper()
	var list corev1.PodList
	w.must(w.Client.List(w.t.Context(), &list, client.InNamespace(w.Fleet.Namespace(env)), client.MatchingLabels{"app": app}))
	out := map[string]corev1.PodStatus{}
	for _, p := range list.Items {
		if p.DeletionTimestamp == nil {
			out[p.Name] = p.Status
		}
	}
	return out
}
