package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// A tenant of the model has one place or two, a namespace, and credentials of its own. Tenants of one cluster share its
// API server and its engines' ceiling; all share the branch.

// node is a place as a commit leaves it.
type node struct {
	value string
	held  bool
}

// runners run what the places say.
var runners = [2]v1alpha1.Workload{{Kind: "Deployment", Name: "app", UID: "w"}, {Kind: "Deployment", Name: "job", UID: "j"}}

// credentials are what a tenant pushes and asks its registry with.
type credentials struct {
	// lent means that the platform's own GitRepository is lent to the tenant, by its owner's annotation: the tenant has
	// none. named means that the tenant's policy names one.
	lent, named bool
	// node means that the node fails: no pod starts, whatever the registry has. says is what the kubelet makes of it.
	node bool
	says v1alpha1.Cause
	// heard is what the registry last answered to the tenant's credentials.
	heard map[string]Proof
}

// places of the tenant, as a commit leaves them.
func (c commit) places() []node {
	out := []node{{c.value, c.held}}
	if c.job != (node{}) {
		out = append(out, c.job)
	}
	return out
}

func (c *commit) set(i int, n node) {
	if i == 0 {
		c.value, c.held = n.value, n.held
	} else {
		c.job = n
	}
}

// brought are the places into which a commit brought a value.
func (c commit) brought(before commit, value string) []int {
	var out []int
	was := before.places()
	for i, n := range c.places() {
		if n.value == value && (i >= len(was) || was[i].value != value) {
			out = append(out, i)
		}
	}
	return out
}

// files of the places.
func (m *model) file(i int) string { return m.dir + "/" + runners[i].Name + ".yaml" }

// index of a place; what is not the tenant's own is its first.
func (m *model) index(p v1alpha1.Place) int {
	if p.File == m.file(1) && m.tip().job != (node{}) {
		return 1
	}
	return 0
}

// asking are the workloads that ask for an image.
func (m *model) asking(image string) []v1alpha1.Workload {
	var out []v1alpha1.Workload
	at := max(0, slices.IndexFunc(m.branch, func(c commit) bool { return c.id == m.applied }))
	for i, n := range m.branch[at].places() {
		if n.value == image {
			out = append(out, runners[i])
		}
	}
	if len(out) == 0 {
		out = append(out, runners[0])
	}
	return out
}

// mates are the tenants of one cluster.
func (m *model) mates() []*model {
	if m.peer != nil && m.peer.clusterUID == m.clusterUID {
		return []*model{m, m.peer}
	}
	return []*model{m}
}

// of is the tenant of a namespace.
func (m *model) of(ns string) *model {
	for _, who := range m.mates() {
		if who.ns == ns {
			return who
		}
	}
	return m
}

// owner is the tenant of a Rollback, by its name in trailers.
func (m *model) owner(rollback string) *model {
	part := strings.Split(rollback, "/")
	if len(part) < 2 {
		return m
	}
	return m.of(part[1])
}

// all are the Rollbacks of the cluster.
func (m *model) all() []v1alpha1.Rollback {
	var out []v1alpha1.Rollback
	for _, who := range m.mates() {
		for _, name := range slices.Sorted(maps.Keys(who.records)) {
			out = append(out, *who.records[name].DeepCopy())
		}
	}
	return out
}

// sync gives the peer the time.
func (m *model) sync() {
	if m.peer != nil {
		m.peer.now = m.now
	}
}

// pusher is the GitRepository with which the tenant may push: the one that its policy names, its own, or what is lent.
func (m *model) pusher() types.NamespacedName {
	switch {
	case m.named:
		return types.NamespacedName{Namespace: m.ns, Name: "rw"}
	case m.lent:
		return types.NamespacedName{Namespace: "flux-system", Name: "fleet"}
	}
	return types.NamespacedName{Namespace: m.ns, Name: "own"}
}

// originWith is where the tenant's places come from: a Kustomization on the platform's source.
func (m *model) originWith(with *types.NamespacedName) Origin {
	auto := v1alpha1.ObjectRef{Kind: "ImageUpdateAutomation", Namespace: m.ns, Name: "a"}
	out := Origin{
		Source:   Source{Name: types.NamespacedName{Namespace: "flux-system", Name: "fleet"}, Branch: "main"},
		Policies: []ImagePolicy{{Name: m.ns + ":app", Latest: m.selected, Automation: &auto}},
	}
	name := types.NamespacedName{Namespace: m.ns, Name: "own"}
	if with != nil {
		name = *with
	} else if m.lent {
		return out
	}
	out.Source.Push = &Pusher{Name: name}
	return out
}

// pushedWith is the rule about credentials: a tenant's places are pushed with what is the tenant's, or lent to it.
func (m *model) pushedWith(src Source) error {
	if m.heard != nil && m.peer != nil && src.Pushes() != m.pusher() {
		return fmt.Errorf("it goes with %s, and may go with %s", src.Pushes(), m.pusher())
	}
	return nil
}

func (m *model) Access(_ context.Context, ns, _, _ string) (Access, error) {
	return Access{DockerConfigs: [][]byte{[]byte(ns)}}, nil
}

// asksWith is the rule about a registry's credentials: each tenant's images are asked for with its own.
func (m *model) asksWith(q Question) {
	if m.peer == nil {
		return
	}
	for _, c := range q.Access.DockerConfigs {
		if string(c) != m.ns {
			m.broke = append(m.broke, fmt.Sprintf("%s is asked for %s with the credentials of %s", q.Image, m.ns, c))
		}
	}
}

// lifts is the rule about a lift: only holds of the record's own places.
func (m *model) lifts(l Lift) error {
	for _, p := range l.Places {
		if p.File != m.file(0) && p.File != m.file(1) {
			return fmt.Errorf("%s is not its own", p.File)
		}
	}
	return m.wished(l)
}

// enough is the rule about whose word is enough: where a person is to be asked by now, only a person's.
func (m *model) enough(r Revert) error {
	if m.mode != v1alpha1.ModeApprove && m.ceiling != v1alpha1.ModeApprove {
		return nil
	}
	for _, rec := range m.records {
		if v := rec.Status.Verdict; r.Rollback == m.self(rec.Name) && v != nil && v.Source != v1alpha1.VerdictByPerson {
			return fmt.Errorf("a person is to be asked by now, and %s allowed it", v.By)
		}
	}
	return nil
}

// proofsLast is how old a proof may be that a policy acts upon, with the seconds that a plan may take.
const proofsLast = 5*time.Minute + 5*time.Second

// undoes is the rule about the write itself: only what is still bad is reverted, only in one's own places, with a hold,
// and by a policy never into the dark, and never where the image is not to blame.
func (m *model) undoes(r Revert) error {
	for _, p := range r.Suspect.Places {
		if !r.Suspect.ByFiles() && p.File != m.file(0) && p.File != m.file(1) {
			return fmt.Errorf("%s is another's", p.File)
		}
	}
	bad := m.bad(r)
	switch {
	case len(bad) == 0:
		return fmt.Errorf("its places say %v, which is not what failed", m.tip().places())
	case r.Image != "" && !r.Hold:
		return errors.New("it leaves no hold")
	}
	for _, rec := range m.records {
		v := rec.Status.Verdict
		if r.Rollback != m.self(rec.Name) || v == nil || v.Source == v1alpha1.VerdictByPerson {
			continue
		}
		for _, k := range bad {
			if err := m.stands(targetOf(r, k)); err != nil && !rec.Status.SeenBy(v1alpha1.TriggerCanary) {
				return err
			}
		}
		if bad := r.Suspect.Places[bad[0]].Bad; m.started[bad] && !m.podsBad[bad] && m.now.Sub(v.At.Time) > lateAfter {
			return fmt.Errorf("by policy it reverts %s, which runs", bad)
		}
	}
	return nil
}

// stands is the rule about a target that no person chose.
func (m *model) stands(target string) error {
	switch p, asked := m.heard[target]; {
	case m.heard == nil && !m.present[target]:
		return fmt.Errorf("by policy it goes back to %s, which is not there", target)
	case m.heard == nil:
	case !asked || p.Finding != FindingPresent:
		return fmt.Errorf("by policy it goes back to %s, and the registry said %q", target, p.Finding)
	case m.now.Sub(p.At) > proofsLast:
		return fmt.Errorf("by policy it goes back to %s, which was seen %s ago", target, m.now.Sub(p.At))
	}
	return nil
}

// Further events: what the byte evFurther announces, anywhere but at the beginning, has numbers of its own. They are
// fixed too.
const (
	evFurther = evClusters + 7*arg

	evJob       = 0
	evJobPerson = 1
	evLend      = 2
	evSourceRef = 3
	evNode      = 4
	evCleanUp   = 5
	evKillAll   = 6
	evSkew      = 7

	evHow    = 8
	evByHand = 9

	evLiftBy = 10

	evWish = 11

	tenantEvents = 12
)

func (m *model) tenantEvent(op byte) {
	arg := int(op) / arg
	switch int(op) % 32 {
	case evJob:
		// Before anything else happens: the tenant has a second place.
		if len(m.branch) == 1 {
			m.branch[0].job = node{value: imgGood}
		}
	case evJobPerson:
		// Somebody writes the second place alone.
		if t := m.tip(); t.job != (node{}) {
			v := []string{"reg.local/app:p0", imgBad, imgBad2, imgGood}[arg%4]
			m.present["reg.local/app:p0"] = true
			m.push(commit{value: t.value, held: t.held, job: node{v, t.job.held}, person: true})
		}
	case evLend:
		m.lent = arg%2 == 0
	case evSourceRef:
		m.named = arg%2 == 0
	case evNode:
		m.node = arg%2 == 0
		m.says = []v1alpha1.Cause{"", v1alpha1.CauseUnauthorized, v1alpha1.CauseRegistryUnavailable, v1alpha1.CauseUnknown}[arg/2]
	case evCleanUp:
		// The registry deletes what was good, or has it again.
		m.present[imgGood] = arg%2 != 0
	case evKillAll:
		for _, who := range m.mates() {
			who.killed = arg%2 == 0
		}
	case evHow:
		m.how = []truth{runsWell, crashes, dependency, refused, unmeasured}[arg%5]
		m.present[imgBad], m.present[imgBad2] = arg%5 > 0, arg%5 > 0
	case evByHand:
		m.byHand = []string{imgGood, "reg.local/app:p0"}[arg%2]
	case evLiftBy:
		m.liftBy(arg)
	case evWish:
		m.wish()
	case evSkew:
		// Somebody else's registry credentials stop working: this tenant is told nothing.
		m.dark = arg%2 == 0
	}
}

// atOnce is one run of image automation that writes every place of a tenant, in the commit at the tip.
func (m *model) atOnce() {
	at := len(m.branch) - 1
	for i, n := range m.tip().places() {
		if !n.held {
			m.branch[at].set(i, node{value: imgBad})
		}
	}
}

// ceils sets the flags of a cluster's engines.
func (m *model) ceils(set func(*model, *Ceiling)) {
	for _, who := range m.mates() {
		for _, e := range who.engines {
			set(who, &e.Ceiling)
		}
	}
}
