package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
	"github.com/backstop-dev/backstop/test/slackstub"
	"github.com/backstop-dev/backstop/test/testenv"
)

// flux is the field manager of what kustomize-controller applies.
const flux = "kustomize-controller"

// released has Flux apply a second image of every app, which image automation wrote, and waits for the second revision.
func (s *stage) released() {
	s.b.Helper()
	for _, app := range s.fleet.Apps {
		_, err := s.registry.PushIndex(app, fleet.Tag(env, 1), "linux/amd64")
		s.must(err)
	}
	s.writeBack(s.fleet.Apps, false)
	for i, app := range s.fleet.Apps {
		d := &appsv1.Deployment{}
		manifest := strings.Replace(s.fleet.Deployment(env, app), fleet.Tag(env, 0), fleet.Tag(env, 1), 1)
		s.must(yaml.Unmarshal([]byte(manifest), d))
		d.Labels["kustomize.toolkit.fluxcd.io/name"], d.Labels["kustomize.toolkit.fluxcd.io/namespace"] = env, s.fleet.FluxNamespace()
		d.Labels["team"] = team(i)
		s.must(s.client.Patch(s.b.Context(), d, client.RawPatch(types.ApplyPatchType, applied(s.b, d)), client.FieldOwner(flux), client.ForceOwnership))
	}
	s.reconciled()
	for _, app := range s.fleet.Apps {
		s.kubelet.await(s.b, app)
	}
}

// applied is a Deployment as it is applied: whole, with its kind.
func applied(b *testing.B, d *appsv1.Deployment) []byte {
	d.APIVersion, d.Kind = "apps/v1", "Deployment"
	raw, err := json.Marshal(d)
	if err != nil {
		b.Fatal(err)
	}
	return raw
}

// undo is what kubectl rollout undo writes, and gives the moment before it did.
func (s *stage) undo(app string) time.Time {
	s.b.Helper()
	d := &appsv1.Deployment{}
	d.Namespace, d.Name = s.fleet.Namespace(env), app
	patch := fmt.Sprintf(`[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":%q}]`, s.fleet.Image(app, fleet.Tag(env, 0)))
	start := time.Now()
	s.must(s.client.Patch(s.b.Context(), d, client.RawPatch(types.JSONPatchType, []byte(patch)), client.FieldOwner("kubectl")))
	return start
}

// teams have a Provider each: more than five cards of one in a minute become a digest, which is not measured here.
const teams = 12

func team(i int) string { return fmt.Sprintf("team-%02d", i%teams) }

// asks has people decide on changes by hand, on Slack.
func (s *stage) asks(slack *slackstub.Workspace) {
	s.b.Helper()
	ns := s.fleet.Namespace(env)
	p := &v1alpha1.RollbackPolicy{}
	s.must(s.client.Get(s.b.Context(), client.ObjectKey{Namespace: ns, Name: "apps"}, p))
	p.Spec.Triggers = []v1alpha1.PolicyTrigger{{Type: v1alpha1.TriggerDrift, Mode: v1alpha1.ModeApprove}}
	s.must(s.client.Update(s.b.Context(), p))
	if slack == nil {
		return
	}
	s.must(s.client.Delete(s.b.Context(), p))
	name := metav1.ObjectMeta{Namespace: ns, Name: "backstop-credentials"}
	s.create(
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "slack"}, StringData: map[string]string{"token": slackstub.BotToken}},
		&rbacv1.Role{ObjectMeta: name, Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{"slack"}, Verbs: []string{"get"}},
		}},
		&rbacv1.RoleBinding{
			ObjectMeta: name, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name.Name},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: testenv.Namespace, Name: testenv.ServiceAccount}},
		},
	)
	for i := range teams {
		s.must(s.plane.Apply(s.b.Context(), fmt.Sprintf(`
apiVersion: notification.toolkit.fluxcd.io/v1beta3
kind: Provider
metadata: {namespace: %s, name: %s}
spec: {type: slack, channel: %s, address: %schat.postMessage, secretRef: {name: slack}}
`, ns, team(i), slackstub.ChannelID, slack.APIURL())))
		own := &v1alpha1.RollbackPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: team(i)}, Spec: *p.Spec.DeepCopy()}
		own.Spec.Selector = metav1.LabelSelector{MatchLabels: map[string]string{"team": team(i)}}
		own.Spec.ProviderRef = &v1alpha1.LocalRef{Name: team(i)}
		own.Spec.Approval.Slack = v1alpha1.SlackApproval{Users: []string{slackstub.Jane}}
		s.create(own)
	}
}

// pace is how far apart cards are posted: Slack takes one message a second in a channel.
const pace = 1200 * time.Millisecond

// BenchmarkUndoToCard takes the time from an undo to its card, one after another. The card asks for a decision: blame
// and the registry's answer are in that time.
func BenchmarkUndoToCard(b *testing.B) {
	const n = 100
	s := newStage(b, n+warmUp)
	slack, err := slackstub.Start(slackstub.Options{PostEvery: time.Second})
	s.must(err)
	b.Cleanup(slack.Close)
	s.asks(slack)
	s.released()
	s.start(s.release("sidecar"))
	for b.Loop() {
		var took []time.Duration
		for i, app := range s.fleet.Apps {
			undone := s.undo(app)
			var posted time.Time
			ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
			err := slack.Await(ctx, func() bool {
				for _, m := range slack.Messages(slackstub.ChannelID) {
					if strings.Contains(m.Text, app+" was rolled back by hand") {
						posted = m.At
						return true
					}
				}
				return false
			})
			cancel()
			if err != nil {
				b.Fatalf("no card of the undo of %s: %v", app, err)
			}
			if i >= warmUp {
				took = append(took, posted.Sub(undone))
			}
			time.Sleep(time.Until(posted.Add(pace)))
		}
		slices.Sort(took)
		b.ReportMetric(took[len(took)/2].Seconds(), "p50-s")
		b.ReportMetric(took[len(took)*99/100].Seconds(), "p99-s")
		b.ReportMetric(took[len(took)-1].Seconds(), "max-s")
		b.ReportMetric(float64(len(took)), "undos")
	}
	load(b)
}

const (
	// deployments is how many workloads Flux applies, astray how many of them were changed by hand before the start.
	deployments, astray = 10_000, 10
	// touched is how many of them get a new status while nothing may be asked.
	touched = 1000
	// quiet is for how long it is counted what is asked then.
	quiet = 10 * time.Second
)

// BenchmarkDriftAtStart starts the sidecar among 10,000 Deployments of Flux, of which somebody changed ten by hand, and
// counts what it asks of the API server until it knows all ten, and of the API server and Git when unchanged workloads
// only get new statuses.
func BenchmarkDriftAtStart(b *testing.B) {
	s := newStage(b, astray)
	s.asks(nil)
	s.released()
	for _, app := range s.fleet.Apps {
		s.undo(app)
	}
	c := newCrowd(s)
	s.plane.StopControllers()
	c.each(deployments-astray, c.apply)
	binary := s.release("sidecar")
	for b.Loop() {
		before := len(s.audit())
		p := s.start(binary)
		watching := time.Since(p.started)
		s.until("all that were changed by hand to be known", s.known)
		known := time.Since(p.started)
		asked := s.audit()[before:]
		b.ReportMetric(watching.Seconds(), "watching-s")
		b.ReportMetric(known.Seconds(), "known-s")
		b.ReportMetric(float64(len(asked)), "requests")
		b.ReportMetric(float64(busiest(asked)), "requests-in-a-second")
		b.Logf("asked: %s", tally(asked))

		// The sweep for holds, which reads Git once, comes five seconds after the start.
		s.settle()
		api, git := len(s.audit()), s.asked.Load()
		c.each(touched, c.touch)
		<-time.After(quiet)
		b.ReportMetric(float64(len(s.audit())-api), "requests-for-unchanged")
		b.ReportMetric(float64(s.asked.Load()-git), "git-requests-for-unchanged")
		p.Stop(10 * time.Second)
	}
	load(b)
}

// known reports whether a Rollback asks about every app.
func (s *stage) known() error {
	var all v1alpha1.RollbackList
	if err := s.client.List(s.b.Context(), &all, client.InNamespace(s.fleet.Namespace(env))); err != nil {
		return err
	}
	n := 0
	for _, r := range all.Items {
		if r.Spec.OpenedFor == v1alpha1.TriggerDrift && r.Status.Question != nil {
			n++
		}
	}
	if n != astray {
		return fmt.Errorf("%d of %d are", n, astray)
	}
	return nil
}

// audit is what the sidecar asked so far, but for the renewal of its lease and its Events.
func (s *stage) audit() []testenv.Use {
	s.b.Helper()
	all, err := s.plane.Audit()
	s.must(err)
	return slices.DeleteFunc(all, func(u testenv.Use) bool { return u.Resource == "leases" || u.Resource == "events" })
}

// settle waits until the sidecar has asked nothing for a while.
func (s *stage) settle() {
	s.b.Helper()
	last, since := -1, time.Now()
	s.until("the sidecar to be quiet", func() error {
		if n := len(s.audit()); n != last {
			last, since = n, time.Now()
		}
		if rest := time.Since(since); rest < quiet {
			return fmt.Errorf("it asked %s ago", rest.Round(time.Second))
		}
		return nil
	})
}

// busiest is how many requests came in one second at most.
func busiest(all []testenv.Use) int {
	slices.SortFunc(all, func(a, b testenv.Use) int { return a.At.Compare(b.At) })
	most, from := 0, 0
	for i := range all {
		for all[i].At.Sub(all[from].At) > time.Second {
			from++
		}
		most = max(most, i-from+1)
	}
	return most
}

// tally counts what was asked by verb and resource, the most frequent first.
func tally(all []testenv.Use) string {
	count := map[string]int{}
	for _, u := range all {
		count[strings.Trim(u.Verb+" "+u.Resource+"/"+u.Subresource, "/")]++
	}
	var out []string
	for what, n := range count {
		out = append(out, fmt.Sprintf("%5d %s", n, what))
	}
	slices.Sort(out)
	slices.Reverse(out)
	return strings.Join(out, ", ")
}

// each does something with the first n workloads of the crowd, several at once.
func (c *crowd) each(n int, do func(context.Context, int) error) {
	c.s.b.Helper()
	next := make(chan int)
	var workers sync.WaitGroup
	for range 24 {
		workers.Go(func() {
			for i := range next {
				if err := do(c.s.b.Context(), i); err != nil {
					c.s.b.Errorf("workload %d: %v", i, err)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	workers.Wait()
	if c.s.b.Failed() {
		c.s.b.FailNow()
	}
}

// apply makes a Deployment as Flux does.
func (c *crowd) apply(ctx context.Context, i int) error {
	name := fmt.Sprintf("service-%05d", i)
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: c.namespace(i), Labels: labels(name)},
		Spec:       appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: labels(name)}, Template: template(name, 1)},
	}
	d.Labels["kustomize.toolkit.fluxcd.io/name"], d.Labels["kustomize.toolkit.fluxcd.io/namespace"] = env, c.s.fleet.FluxNamespace()
	force := true
	_, err := c.client.AppsV1().Deployments(d.Namespace).Patch(ctx, name, types.ApplyPatchType, applied(c.s.b, d),
		metav1.PatchOptions{FieldManager: flux, Force: &force})
	return err
}

// touch gives a Deployment another status, as its controller does all the time.
func (c *crowd) touch(ctx context.Context, i int) error {
	patch := fmt.Sprintf(`{"status":{"observedGeneration":%d}}`, time.Now().UnixNano())
	_, err := c.client.AppsV1().Deployments(c.namespace(i)).Patch(ctx, fmt.Sprintf("service-%05d", i), types.MergePatchType,
		[]byte(patch), metav1.PatchOptions{FieldManager: "kube-controller-manager"}, "status")
	return err
}
