package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// The walk is tested against a small model of everything around it: an API server with optimistic concurrency, a branch
// that is a list of commits, a registry and pods. Every write of an engine may crash before or after it took effect.

var errCrash = errors.New("killed")

// commit of the model: what the node holds after it, and Backstop's trailers.
type commit struct {
	id    string
	value string
	held  bool
	trail *TrailerCommit
	when  time.Time
	// person means that somebody wrote it by hand.
	person bool
	// job is the second place, of a tenant that has two, and undid what of the tenant the commit reverts.
	job   node
	undid []string
}

type model struct {
	now     time.Time
	branch  []commit
	lost    []commit // commits that a force push threw away
	records map[string]*v1alpha1.Rollback
	version int
	uid     int

	podsBad  map[string]bool // image → its pods wait for it
	started  map[string]bool // image → a container of it started
	present  map[string]bool // image → the registry holds it
	dark     bool            // the registry proves nothing
	mode     v1alpha1.Mode
	selected string
	absence  v1alpha1.Cause // why the registry says that it lacks an image; NotFound when empty
	failsFor time.Duration  // how long pods have failed when they are first seen
	authors  v1alpha1.Authors
	maxAge   time.Duration
	// maxAuthors is the ceiling's.
	maxAuthors v1alpha1.Authors
	asked      map[string]bool     // the questions that were asked
	peer       *model              // another tenant, whose place is on the same branch
	stale      []v1alpha1.Rollback // what a stale Open answers
	useStale   bool
	crashAt    int // the n-th write from now fails; <0 never
	crashPost  bool
	pushes     int
	raceNext   bool // another pusher wins the next race
	raceStops  bool // and the policy is suspended meanwhile
	raceMends  bool // and the other pusher corrects the place
	slowStops  bool // the next push is planned for seconds, and the policy is suspended meanwhile
	suspended  bool
	removed    bool // there is no policy
	killed     bool // a suspended policy in Backstop's own namespace
	engines    []*Engine
	// how images fail that are there, and how each failed when it was rolled out last. byHand is what somebody set.
	how     truth
	fails   map[string]truth
	byHand  string
	ceiling v1alpha1.Mode
	broke   []string // writes that were not allowed
	reverts map[string]int
	// ns is the namespace, in a cluster of its own name and UID, and dir the folder of its place.
	ns, dir, cluster, clusterUID string
	cooldown                     time.Duration
	credentials
	// What the source holds, what the Kustomization attempted, whether it is at work; who was asked with what, how often.
	fetched, applied string
	checking         bool
	token            map[v1alpha1.ObjectRef]string
	asks             int
}

const (
	imgGood = "reg.local/app:v1"
	imgBad  = "reg.local/app:v2"
	imgBad2 = "reg.local/app:v3"
)

func newModel() *model {
	t0 := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	return &model{
		now: t0, ns: "develop", dir: "develop", cluster: "a", mode: v1alpha1.ModeAuto, crashAt: -1, cooldown: time.Minute, authors: v1alpha1.AuthorsAutomation,
		maxAge: 24 * time.Hour, asked: map[string]bool{},
		branch:  []commit{{id: "c0", value: imgGood, when: t0.Add(-time.Hour)}},
		records: map[string]*v1alpha1.Rollback{}, podsBad: map[string]bool{}, started: map[string]bool{},
		present: map[string]bool{imgGood: true}, fails: map[string]truth{}, reverts: map[string]int{}, token: map[v1alpha1.ObjectRef]string{},
	}
}

func (m *model) tip() commit { return m.branch[len(m.branch)-1] }

func (m *model) push(c commit) {
	m.pushes++
	c.id, c.when = fmt.Sprintf("c%d", m.pushes+100), m.now
	if c.job == (node{}) {
		c.job = m.tip().job
	}
	m.branch = append(m.branch, c)
	if p := m.peer; p != nil {
		p.pushes = m.pushes
		p.branch = append(p.branch, commit{
			id: c.id, when: c.when, trail: c.trail, person: c.person, value: p.tip().value, held: p.tip().held, job: p.tip().job,
		})
	}
}

// write counts a mutating request and reports whether the process dies before (pre) or after it.
func (m *model) write(effect func() error) error {
	m.crashAt--
	if m.crashAt == 0 && !m.crashPost {
		return errCrash
	}
	if err := effect(); err != nil {
		return err
	}
	if m.crashAt == 0 {
		return errCrash
	}
	return nil
}

// writeBack is image automation: it writes the selected image where the marker is not held.
func (m *model) writeBack() {
	c := m.tip()
	was := c.places()
	for i, n := range was {
		if m.selected != "" && !n.held {
			c.set(i, node{value: m.selected})
		}
	}
	if !slices.Equal(was, c.places()) {
		m.push(commit{value: c.value, held: c.held, job: c.job})
	}
}

// rollOut is Flux and the kubelet: the cluster runs what the tip says.
func (m *model) rollOut() {
	m.fetched, m.applied, m.checking = m.tip().id, m.tip().id, false
	m.podsBad = map[string]bool{}
	m.byHand = ""
	for _, n := range m.tip().places() {
		if m.fails[n.value] = m.truthOf(n.value); m.fails[n.value] == runsWell {
			m.started[n.value] = true
		} else {
			m.podsBad[n.value] = true
		}
	}
}

// Records.

func (m *model) Latest(_ context.Context, key Key) (*v1alpha1.Rollback, error) {
	var out *v1alpha1.Rollback
	for _, r := range m.records {
		if r.Spec.Subject == key.Subject && (out == nil || Ordinal(r) > Ordinal(out)) {
			out = r
		}
	}
	return out.DeepCopy(), nil
}

func (m *model) Known(ctx context.Context, key Key) (*v1alpha1.Rollback, error) {
	return m.Latest(ctx, key)
}

func (m *model) Create(_ context.Context, r *v1alpha1.Rollback) error {
	return m.write(func() error {
		if m.records[r.Name] != nil {
			return ErrConflict
		}
		c := r.DeepCopy()
		m.version++
		m.uid++
		c.UID = types.UID(fmt.Sprint("u", m.uid, m.dir))
		c.CreationTimestamp = metav1.NewTime(m.now)
		c.ResourceVersion = fmt.Sprint(m.version)
		m.records[r.Name] = c
		return nil
	})
}

func (m *model) SaveStatus(_ context.Context, r *v1alpha1.Rollback) error {
	return m.write(func() error {
		old := m.records[r.Name]
		if old == nil || old.ResourceVersion != r.ResourceVersion {
			return ErrConflict
		}
		if err := blanksKept(old, r); err != nil {
			return err
		}
		if q := r.Status.Question; q != nil {
			m.asked[q.ID] = true
		}
		if v := r.Status.Verdict; v != nil && old.Status.Verdict == nil && v.Source == v1alpha1.VerdictByPolicy {
			m.judges(r)
		}
		c := old.DeepCopy()
		c.Status = *r.Status.DeepCopy()
		m.version++
		c.ResourceVersion = fmt.Sprint(m.version)
		m.records[r.Name] = c
		return nil
	})
}

// blanksKept is what the CRD's rules say.
func blanksKept(old, r *v1alpha1.Rollback) error {
	o, n := &old.Status, &r.Status
	switch {
	case o.Suspect != nil && n.Suspect == nil, o.Target != nil && n.Target == nil, o.Verdict != nil && n.Verdict == nil && (o.Change != nil || len(n.Lapsed) == len(o.Lapsed)),
		o.Change != nil && n.Change == nil, o.Landed != nil && n.Landed == nil, o.Outcome != nil && n.Outcome == nil,
		o.Lifted != nil && n.Lifted == nil, len(n.Failures) < len(o.Failures):
		return fmt.Errorf("INVARIANT: a step of %s was erased", r.Name)
	case slices.ContainsFunc(o.Holds, func(h v1alpha1.Hold) bool {
		return !slices.ContainsFunc(n.Holds, func(x v1alpha1.Hold) bool {
			return x.Place == h.Place && (h.LiftedBy == "" || x.LiftedBy == h.LiftedBy)
		})
	}):
		return fmt.Errorf("INVARIANT: a hold of %s was erased or lifted twice", r.Name)
	case n.Lifted == nil && len(n.Holds) > 0 && !slices.ContainsFunc(n.Holds, func(h v1alpha1.Hold) bool { return h.LiftedBy == "" }):
		return fmt.Errorf("INVARIANT: all holds of %s are lifted, and the record does not say so", r.Name)
	case o.Change != nil && o.Change.Commit != n.Change.Commit:
		return fmt.Errorf("INVARIANT: change of %s was rewritten", r.Name)
	case n.Change != nil && (n.Verdict == nil || n.Verdict.Answer != v1alpha1.Approve):
		return fmt.Errorf("INVARIANT: %s changed Git without a verdict", r.Name)
	case o.Outcome != nil && !mayHeal(o.Outcome.Result) && !(refusedByClose(o) && n.Outcome.Result == v1alpha1.ResultExpired) && o.Outcome.Result != v1alpha1.ResultRestored && o.Outcome.Result != n.Outcome.Result:
		return fmt.Errorf("INVARIANT: outcome of %s was rewritten", r.Name)
	}
	return nil
}

func (m *model) Open(context.Context) ([]v1alpha1.Rollback, error) {
	if m.useStale {
		return m.stale, nil
	}
	m.stale = slices.DeleteFunc(m.all(), func(r v1alpha1.Rollback) bool { return r.Status.Ended() })
	return m.stale, nil
}

func (m *model) Policies(_ context.Context, ns string) ([]v1alpha1.RollbackPolicy, map[string]string, error) {
	var out []v1alpha1.RollbackPolicy
	for _, who := range m.mates() {
		out = append(out, who.ownPolicies()...)
	}
	return out, map[string]string{"team": m.of(ns).ns}, nil
}

// ownPolicies are those that are about the tenant.
func (m *model) ownPolicies() []v1alpha1.RollbackPolicy {
	d := func(d time.Duration) metav1.Duration { return metav1.Duration{Duration: d} }
	var out []v1alpha1.RollbackPolicy
	if m.killed {
		stop := v1alpha1.RollbackPolicy{Spec: v1alpha1.RollbackPolicySpec{Suspend: true}}
		stop.Namespace, stop.Name = "backstop-system", "stop-"+m.ns
		stop.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": m.ns}}
		out = append(out, stop)
	}
	if m.removed {
		return out
	}
	own := v1alpha1.RollbackPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: m.ns, Name: "p"},
		Spec: v1alpha1.RollbackPolicySpec{
			SoleCluster: m.heard != nil,
			Cooldown:    d(m.cooldown), Approval: v1alpha1.Approval{Timeout: d(10 * time.Minute)},
			VerifyTimeout: d(5 * time.Minute), Lift: v1alpha1.LiftNewerImage, Suspend: m.suspended,
		},
	}
	for _, t := range []v1alpha1.TriggerType{v1alpha1.TriggerImagePull, v1alpha1.TriggerRollout, v1alpha1.TriggerCanary, v1alpha1.TriggerDrift} {
		own.Spec.Triggers = append(own.Spec.Triggers, v1alpha1.PolicyTrigger{Type: t, Mode: m.mode, Authors: m.authors,
			MaxAge: &metav1.Duration{Duration: m.maxAge}, GracePeriod: &metav1.Duration{Duration: 5 * time.Second}})
	}
	if m.named {
		own.Spec.SourceRef = &v1alpha1.SourceRef{Name: "rw"}
	}
	return append(out, own)
}

func (m *model) PoliciesNow(ctx context.Context, ns string) ([]v1alpha1.RollbackPolicy, map[string]string, error) {
	return m.Policies(ctx, ns)
}

func (m *model) All(context.Context) ([]v1alpha1.Rollback, error) {
	return m.all(), nil
}

func (m *model) Delete(_ context.Context, r *v1alpha1.Rollback) error {
	return m.write(func() error {
		delete(m.records, r.Name)
		return nil
	})
}

// Pods.

type modelPods struct{ *model }

func (m modelPods) Delete(context.Context, string, StuckPod) error { return nil }

func (m modelPods) Owners(context.Context, string, []v1alpha1.Workload) (Owners, error) {
	return Owners{Labels: map[string]map[string]string{"Deployment/app": {}, "Deployment/job": {}}}, nil
}

func (m modelPods) Failing(_ context.Context, key Key, _ []v1alpha1.Workload) (PodsSeen, error) {
	s := PodsSeen{Labels: map[string]map[string]string{"Deployment/app": {}}}
	if m.podsBad[key.Image()] {
		for _, wl := range m.asking(key.Image()) {
			s.Labels[wl.String()] = map[string]string{}
			s.Failures = append(s.Failures, m.failure(key.Image(), wl))
		}
	} else if m.started[key.Image()] {
		s.Started, s.Steady = "Pod/app", "Pod/app"
	}
	if m.promoted() {
		s.Promoted = "Canary/app"
	}
	m.drifts(key.Image(), &s)
	return s, nil
}

// promoted reports whether a canary has what Flux applied last promoted: it runs.
func (m *model) promoted() bool {
	i := slices.IndexFunc(m.branch, func(c commit) bool { return c.id == m.applied })
	return i >= 0 && !slices.ContainsFunc(m.branch[i].places(), func(n node) bool { return m.podsBad[n.value] })
}

func (m *model) engine(cluster string, budget Budget) *Engine {
	return &Engine{
		Cluster: cluster, ClusterUID: m.clusterUID, Home: "backstop-system", Platforms: []string{"linux/amd64"}, Ceiling: Ceiling{Budget: budget},
		Now: func() time.Time { return m.now }, Triggers: testRows, Records: m, Pods: modelPods{m}, Flux: m, Git: m, Registry: m,
		Log: slog.New(slog.DiscardHandler),
	}
}

// witness is told what a schedule broke: the test, or one that wants a mutant to be caught.
type witness interface {
	Helper()
	Context() context.Context
	Fatalf(format string, args ...any)
}

// walk runs one engine over every key until it waits or dies.
func (m *model) walk(t witness, e *Engine) {
	t.Helper()
	queue := []string{imgBad, imgBad2}
	for len(queue) > 0 {
		image := queue[0]
		queue = queue[1:]
		again, err := e.Walk(t.Context(), ImageKey(m.ns, image))
		if again == time.Millisecond {
			// It goes to the end of the queue.
			queue = append(queue, image)
		}
		if err != nil && !errors.Is(err, errCrash) && !errors.Is(err, errNotProved) {
			t.Fatalf("walk %s: %v\n%s", image, err, m.story())
		}
	}
}

func (m *model) story() string {
	out := "branch:\n"
	for _, c := range m.branch {
		out += fmt.Sprintf("  %s %s held=%v job=%v trail=%+v\n", c.id, c.value, c.held, c.job, c.trail)
	}
	for _, name := range slices.Sorted(maps.Keys(m.records)) {
		r := m.records[name]
		out += fmt.Sprintf("%s %s: %s waiting=%+v outcome=%+v change=%+v\n", r.Name, r.Spec.Subject.Name, r.Status.PhaseNow(), r.Status.Waiting,
			r.Status.Outcome, r.Status.Change)
	}
	return out
}
