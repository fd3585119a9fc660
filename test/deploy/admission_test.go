package deploy_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func (s suite) fluxObjects(t *testing.T) {
	kustomization := s.create(t, `
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata:
  namespace: apps
  name: web
  labels: {tier: web}
  annotations: {owner: team-a}
  finalizers: [finalizers.fluxcd.io]
spec: {interval: 1m, prune: true, path: ./, sourceRef: {kind: GitRepository, name: fleet}}
`)
	as := s.almighty(t, backstop)
	patch := func(ctx context.Context, c client.Client, body string, subresource ...string) error {
		o, p := kustomization.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(body))
		if len(subresource) > 0 {
			return c.Status().Patch(ctx, o, p)
		}
		return c.Patch(ctx, o, p)
	}
	const (
		nothingBut = "Backstop may change nothing of a Flux object but the annotation reconcile.fluxcd.io/requestedAt"
		noOther    = "Of the annotations of a Flux object Backstop may change reconcile.fluxcd.io/requestedAt alone"
		onlyNote   = "Backstop may only annotate Flux objects"
	)
	// From here on the policy is in force.
	eventually(t, func(ctx context.Context) error {
		suspend := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"suspend":true}}`))
		return refused(as.Patch(ctx, kustomization.DeepCopy(), suspend, client.DryRunAll), nothingBut)
	})
	for _, tt := range []struct{ name, body, want string }{
		{"asks for a reconcile", `{"metadata":{"annotations":{"reconcile.fluxcd.io/requestedAt":"1"}}}`, ""},
		{"asks again", `{"metadata":{"annotations":{"reconcile.fluxcd.io/requestedAt":"2"}}}`, ""},
		{"asks for a reconcile of another version", `{"metadata":{"resourceVersion":"1","annotations":{"reconcile.fluxcd.io/requestedAt":"2"}}}`, "the object has been modified"},
		{"withdraws the request", `{"metadata":{"annotations":{"reconcile.fluxcd.io/requestedAt":null}}}`, ""},
		{"changes nothing", `{}`, ""},
		{"suspends", `{"spec":{"suspend":true}}`, nothingBut},
		{"changes the path with a request", `{"metadata":{"annotations":{"reconcile.fluxcd.io/requestedAt":"3"}},"spec":{"path":"./x"}}`, nothingBut},
		{"adds a label", `{"metadata":{"labels":{"a":"b"}}}`, nothingBut},
		{"changes a label", `{"metadata":{"labels":{"tier":"db"}}}`, nothingBut},
		{"removes a label", `{"metadata":{"labels":null}}`, nothingBut},
		{"removes the finalizer", `{"metadata":{"finalizers":null}}`, nothingBut},
		{"adopts it", `{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Pod","name":"x","uid":"y"}]}}`, nothingBut},
		{"adds another annotation", `{"metadata":{"annotations":{"reconcile.fluxcd.io/forceAt":"1"}}}`, noOther},
		{"changes another annotation", `{"metadata":{"annotations":{"owner":"me"}}}`, noOther},
		{"removes another annotation", `{"metadata":{"annotations":{"owner":null}}}`, noOther},
		{"removes all annotations", `{"metadata":{"annotations":null}}`, noOther},
	} {
		t.Run(tt.name, func(t *testing.T) { want(t, patch(t.Context(), as, tt.body), tt.want) })
	}
	t.Run("writes a status", func(t *testing.T) {
		want(t, patch(t.Context(), as, `{"status":{"lastAppliedRevision":"x"}}`, "status"), onlyNote)
	})
	t.Run("deletes", func(t *testing.T) { want(t, as.Delete(t.Context(), kustomization.DeepCopy()), onlyNote) })
	t.Run("creates", func(t *testing.T) {
		o := kustomization.DeepCopy()
		o.SetName("other")
		o.SetResourceVersion("")
		want(t, as.Create(t.Context(), o), onlyNote)
	})
	t.Run("does the same to every kind that it may patch", func(t *testing.T) {
		for _, text := range []string{
			"{apiVersion: source.toolkit.fluxcd.io/v1, kind: GitRepository, spec: {interval: 1m, url: 'https://git.example/x'}}",
			"{apiVersion: helm.toolkit.fluxcd.io/v2, kind: HelmRelease, spec: {interval: 1m, chartRef: {kind: OCIRepository, name: x}}}",
			"{apiVersion: image.toolkit.fluxcd.io/v1, kind: ImageUpdateAutomation, " +
				"spec: {interval: 1m, sourceRef: {kind: GitRepository, name: x}, git: {commit: {author: {email: a@b.example}}}}}",
		} {
			o := object(t, text)
			o.SetNamespace("apps")
			o.SetName("any")
			if err := s.admin.Create(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			ask := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"reconcile.fluxcd.io/requestedAt":"1"}}}`))
			want(t, as.Patch(t.Context(), o, ask), "")
			want(t, as.Patch(t.Context(), o, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"suspend":true}}`))), nothingBut)
		}
	})
	t.Run("others are not concerned", func(t *testing.T) {
		want(t, patch(t.Context(), s.almighty(t, "alice"), `{"spec":{"suspend":true},"metadata":{"labels":{"a":"b"}}}`), "")
		want(t, patch(t.Context(), s.almighty(t, "system:serviceaccount:flux-system:kustomize-controller"), `{"spec":{"suspend":null}}`), "")
	})
}

// asked is the question of the tests.
const asked = "3fa9c1d2e4b5"

// by is one decision on it as JSON.
func by(who, answer string) string { return byOn(who, answer, asked) }

func byOn(who, answer, question string) string {
	return fmt.Sprintf(`{"by":%q,"question":%q,"answer":%q,"at":"2026-11-21T10:00:00.000000Z"}`, who, question, answer)
}

// liftBy asks in somebody's name for a hold to be lifted, as JSON.
func liftBy(who string) string {
	return fmt.Sprintf(`{"by":%q,"at":"2026-11-21T10:00:00.000000Z"}`, who)
}

func liftOn(who, places string) string {
	return fmt.Sprintf(`{"by":%q,"at":"2026-11-21T10:00:00.000000Z","places":%s}`, who, places)
}

func (s suite) decisions(t *testing.T) {
	const opens = "only Backstop (" + backstop + ") opens a Rollback: to revert an image yourself, run backstop revert"
	open := func(ctx context.Context, c client.Client, name, decisions string, o ...client.CreateOption) error {
		return c.Create(ctx, object(t, fmt.Sprintf("{apiVersion: backstop.dev/v1alpha1, kind: Rollback, metadata: {namespace: apps, name: %s, "+
			"labels: {backstop.dev/key: abc}, annotations: {backstop.dev/ordinal: '1'}}, spec: {openedFor: ImagePull, subject: {kind: Image, name: 'web:v1'}, decisions: [%s]}}", name, decisions)), o...)
	}
	itself := s.almighty(t, backstop)
	eventually(t, func(ctx context.Context) error {
		return refused(open(ctx, s.almighty(t, "alice"), "forged", "", client.DryRunAll), opens)
	})
	want(t, open(t.Context(), s.almighty(t, "alice"), "forged", ""), opens)
	want(t, open(t.Context(), s.admin, "forged", ""), opens)
	want(t, open(t.Context(), s.almighty(t, "system:serviceaccount:apps:backstop"), "forged", ""), opens)
	want(t, open(t.Context(), itself, "approved", by("alice", "Approve")), "by must start with slack:")
	want(t, open(t.Context(), itself, "web", ""), "")

	patch := func(user, body string, status bool) error {
		o := object(t, "{apiVersion: backstop.dev/v1alpha1, kind: Rollback, metadata: {namespace: apps, name: web}}")
		p := client.RawPatch(types.MergePatchType, []byte(body))
		if status {
			return s.almighty(t, user).Status().Patch(t.Context(), o, p)
		}
		return s.almighty(t, user).Patch(t.Context(), o, p)
	}
	decide := func(all ...string) string { return `{"spec":{"decisions":[` + strings.Join(all, ",") + `]}}` }
	lift := func(d string) string { return `{"spec":{"lift":` + d + `}}` }
	alice, bob, slack := by("alice", "Approve"), by("bob", "Reject"), by("slack:T1/U1", "Approve")
	ask := func(id string, answers ...string) string {
		return fmt.Sprintf(`{"status":{"question":{"id":%q,"until":"2026-11-21T11:00:00Z","answers":["%s"]}}}`, id, strings.Join(answers, `","`))
	}
	const (
		notAsked = "nothing is asked now: status.question is not there"
		another  = "the question that is asked is " + asked + " and takes Approve or Reject"
		ownName  = "decide in your own name: by must be "
		once     = "Duplicate value"
		taken    = "a decision cannot be changed or withdrawn"
		labels   = "Backstop finds a Rollback by its labels and annotations of backstop.dev"
		noHold   = "a lift is for holds that stand: once status.outcome is there, until status.lifted is"
		owners   = "it gets neither owners, which would have it deleted, nor finalizers"
	)
	// In order: each starts from what those before left.
	for _, tt := range []struct {
		name, user, body string
		status           bool
		want             string
	}{
		{"before anything is asked", "alice", decide(alice), false, notAsked},
		{"alice asks", "alice", ask(asked, "Approve"), true, "only Backstop (" + backstop + ") writes the status"},
		{"Backstop asks", backstop, ask(asked, "Reject"), true, ""},
		{"an answer that is not taken", "alice", decide(alice), false, "takes Reject"},
		{"Backstop asks for both", backstop, ask(asked, "Approve", "Reject"), true, ""},
		{"another question", "alice", decide(byOn("alice", "Approve", "000000000000")), false, another},
		{"alice as bob", "alice", decide(bob), false, ownName + "alice, or run backstop approve or backstop reject, which fill it in"},
		{"alice as herself", "alice", decide(alice), false, ""},
		{"alice and in bob's name too", "alice", decide(alice, bob), false, ownName + "alice"},
		{"alice thinks again", "alice", decide(by("alice", "Reject")), false, taken},
		{"alice withdraws it", "alice", decide(), false, taken},
		{"bob drops alice's", "bob", decide(bob), false, taken},
		{"bob turns alice's round", "bob", decide(by("alice", "Reject"), bob), false, taken},
		{"bob adds his", "bob", decide(alice, bob), false, ""},
		{"mallory copies bob's", "mallory", decide(alice, bob, bob), false, once},
		{"bob answers again", "bob", decide(alice, bob, by("bob", "Approve")), false, once},
		{"bob answers again, at another time", "bob", decide(alice, bob, strings.Replace(bob, "10:00", "10:01", 1)), false, once},
		{"mallory answers twice at once", "mallory", decide(alice, bob, by("mallory", "Approve"), by("mallory", "Reject")), false, once},
		{"mallory as a user in other letters", "mallory", decide(alice, bob, by("Mallory", "Approve")), false, ownName + "mallory"},
		{"mallory with a blank behind her name", "mallory", decide(alice, bob, by("mallory ", "Approve")), false, ownName + "mallory"},
		{"mallory makes it another key's", "mallory", `{"metadata":{"labels":{"backstop.dev/new":"x"}}}`, false, labels},
		{"mallory has it owned by itself", "mallory", `{"metadata":{"ownerReferences":[{"apiVersion":"backstop.dev/v1alpha1","kind":"Rollback","name":"web","uid":"2","blockOwnerDeletion":true}]}}`, false, owners},
		{"mallory writes the status beside her decision", "mallory", `{"spec":{"decisions":[` + alice + "," + bob + `]},"status":{"question":null,"phase":"Verified"}}`, false, ""},
		{"a person as somebody on Slack", "mallory", decide(alice, bob, slack), false, ownName + "mallory"},
		{"a user who is named as somebody on Slack", "slack:T1/U1", decide(alice, bob, slack), false, "decides on Slack alone"},
		{"Backstop records a click", backstop, decide(alice, bob, slack), false, ""},
		{"Backstop in a person's name", backstop, decide(alice, bob, slack, by("carol", "Approve")), false, "by must start with slack:"},
		{"Backstop by itself", backstop, decide(alice, bob, slack, by(backstop, "Approve")), false, "by must start with slack:"},
		{"Backstop asks something else", backstop, ask("0123456789ab", "Approve", "Reject"), true, ""},
		{"alice answers what was asked before", "alice", decide(alice, bob, slack, byOn("alice", "Reject", "000000000000")), false,
			"the question that is asked is 0123456789ab"},
		{"alice answers what is asked now", "alice", decide(alice, bob, slack, byOn("alice", "Reject", "0123456789ab")), false, ""},
		{"Backstop asks as before", backstop, ask(asked, "Approve", "Reject"), true, ""},
		{"alice lifts before there is a hold", "alice", lift(liftBy("alice")), false, noHold},
		{"the revert is pushed", backstop, `{"status":{"suspect":{"source":{"kind":"GitRepository","name":"fleet"},"branch":"main","commit":"c","when":"2026-11-21T09:00:00Z","places":[]},
			"verdict":{"answer":"Approve","source":"Person","by":"alice","at":"2026-11-21T09:30:00Z"},
			"change":{"commit":"r","hold":"h","branch":"main","policies":["apps:web"],"at":"2026-11-21T09:40:00Z"},
			"holds":[{"place":"a"},{"place":"b"},{"place":"c","liftedBy":"joe"}]}}`, true, ""},
		{"alice lifts while it is under way", "alice", lift(liftBy("alice")), false, noHold},
		{"it ends", backstop, `{"status":{"outcome":{"result":"Verified","message":"m","at":"2026-11-21T09:50:00Z"}}}`, true, ""},
		{"alice lifts as of before the hold", "alice", lift(strings.Replace(liftBy("alice"), "T10:00", "T09:39", 1)), false, noHold},
		{"alice lifts a hold that is not there", "alice", lift(liftOn("alice", `["d"]`)), false, noHold},
		{"alice lifts one that is lifted", "alice", lift(liftOn("alice", `["a","c"]`)), false, noHold},
		{"mallory answers and lifts as bob", "mallory", `{"spec":{"decisions":[` + strings.Join([]string{alice, bob, slack, byOn("alice", "Reject", "0123456789ab"), by("mallory", "Reject")}, ",") + `],"lift":` + liftBy("bob") + `}}`, false, ownName + "mallory"},
		{"alice lifts as bob", "alice", lift(liftBy("bob")), false, ownName + "alice"},
		{"carol lifts the hold on one place", "carol", lift(liftOn("carol", `["a"]`)), false, ""},
		{"bob lifts that one", "bob", lift(liftOn("bob", `["a"]`)), false, "lift cannot be changed or withdrawn"},
		{"bob lifts another one instead", "bob", lift(liftOn("bob", `["b"]`)), false, "lift cannot be changed or withdrawn"},
		{"bob lifts another one too", "bob", lift(liftOn("bob", `["a","b"]`)), false, ""},
		{"alice lifts them all", "alice", lift(liftOn("alice", `null`)), false, ""},
		{"alice lifts", "alice", lift(liftBy("alice")), false, ""},
		{"bob takes the lift over", "bob", lift(liftBy("bob")), false, "lift cannot be changed or withdrawn"},
		{"bob takes the lift away", "bob", lift("null"), false, "lift cannot be changed or withdrawn"},
		{"Backstop takes the lift away", backstop, lift("null"), false, "lift cannot be changed or withdrawn"},
		{"the pull request that lifts is closed", backstop, `{"status":{"liftPullRequest":{"because":"b","number":1,"state":"Closed","at":"2026-11-21T10:00:01Z"}}}`, true, ""},
		{"bob asks again", "bob", lift(strings.Replace(liftBy("bob"), "T10:00", "T11:00", 1)), false, ""},
		{"carol takes that over", "carol", lift(strings.Replace(liftBy("carol"), "T10:00", "T12:00", 1)), false, "lift cannot be changed or withdrawn"},
		{"the one of that wish is merged elsewhere", backstop, `{"status":{"liftPullRequest":{"because":"b","number":2,"state":"Merged","missed":"m","at":"2026-11-21T11:00:01Z","askedAt":"2026-11-21T11:00:00Z"}}}`, true, ""},
		{"carol asks at the very same time", "carol", lift(strings.Replace(liftBy("carol"), "T10:00", "T11:00", 1)), false, "lift cannot be changed or withdrawn"},
		{"carol asks, by a clock that is ahead", "carol", lift(strings.Replace(liftBy("carol"), "2026", "2126", 1)), false, ""},
		{"bob takes that over", "bob", lift(strings.Replace(liftBy("bob"), "T10:00", "T12:00", 1)), false, "lift cannot be changed or withdrawn"},
		{"what came of it is closed", backstop, `{"status":{"liftPullRequest":{"because":"b","number":3,"state":"Closed","missed":null,"at":"2026-11-21T12:00:01Z","askedAt":"2126-11-21T10:00:00Z"}}}`, true, ""},
		{"bob asks by a clock that is right", "bob", lift(strings.Replace(liftBy("bob"), "T10:00", "T12:00", 1)), false, ""},
		{"bob changes the subject", "bob", `{"spec":{"subject":{"name":"evil:v1"}}}`, false, "subject is what the Rollback is about and cannot be changed"},
		{"Backstop changes what it was opened for", backstop, `{"spec":{"openedFor":"Drift"}}`, false, "openedFor is what the Rollback was opened for and cannot be changed"},
		{"alice writes the status", "alice", `{"status":{"phase":"Verified"}}`, true, "only Backstop (" + backstop + ") writes the status"},
		{"Backstop writes the status", backstop, `{"status":{"phase":"Verified"}}`, true, ""},
		{"bob labels it", "bob", `{"metadata":{"labels":{"seen":"yes"},"annotations":{"seen":"yes"}}}`, false, ""},
		{"bob hides it", "bob", `{"metadata":{"labels":{"backstop.dev/key":null}}}`, false, labels},
		{"bob takes all labels away", "bob", `{"metadata":{"labels":null}}`, false, labels},
		{"bob gives it another key", "bob", `{"metadata":{"labels":{"backstop.dev/key":"x"}}}`, false, labels},
		{"bob renumbers it", "bob", `{"metadata":{"annotations":{"backstop.dev/ordinal":"999"}}}`, false, labels},
		{"bob has it imported", "bob", `{"metadata":{"annotations":{"backstop.dev/adopts":"a:b"}}}`, false, labels},
		{"bob gives it an owner", "bob", `{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"gone","uid":"1"}]}}`, false, owners},
		{"bob keeps it from being deleted", "bob", `{"metadata":{"finalizers":["example.com/keep"]}}`, false, owners},
		{"Backstop gives it an owner", backstop, `{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"gone","uid":"1"}]}}`, false, owners},
	} {
		t.Run(tt.name, func(t *testing.T) { want(t, patch(tt.user, tt.body, tt.status), tt.want) })
	}
	t.Run("kubectl shows the sentence", func(t *testing.T) {
		_, err := s.env.Kubectl(t.Context(), "--as=dave", "--as-group=system:masters", "-n", "apps", "patch", "rollback", "web", "--type=json",
			"-p", `[{"op":"add","path":"/spec/decisions/-","value":`+by("erin", "Approve")+`}]`)
		want(t, err, ownName+"dave")
		_, err = s.env.Kubectl(t.Context(), "--as=dave", "--as-group=system:masters", "-n", "apps", "patch", "rollback", "web", "--type=json",
			"-p", `[{"op":"add","path":"/spec/decisions/-","value":`+by("dave", "Approve")+`}]`)
		want(t, err, "")
	})
}
