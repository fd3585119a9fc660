package reconcile

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// One gate stands before every write to Git. It knows nothing of decisions: neither a person nor an earlier verdict
// gets past what the policies and the controller's flags say now.
//
//	decide ──► informers' policies ──┐
//	each tip that a push tries ──► live ──┼─► mayWrite, mayLift ──► *barred: wait, and say why
//	right before a lift ──► live ────┘

// rulesLast is how long policies that were read live are gone by. With the push that was sent in that moment it stays
// within the second after which no write begins.
// Where they take long to read, as from a busy API server, they are gone by for as long again, so that a push gets on.
const rulesLast, rulesMost = 250 * time.Millisecond, 750 * time.Millisecond

// rules are the policies that were read live for one push, so that hundreds of reverts do not read each namespace's
// hundreds of times.
type rules struct {
	// at is when the first of them was read.
	at       time.Time
	policies map[string][]v1alpha1.RollbackPolicy
	labels   map[string]map[string]string
	owners   map[string]Owners
	// shared are the namespaces that files of a Rollback are rendered into besides its own.
	shared map[string]shares
	// of are the workloads of all Rollbacks of the push, by namespace: they are read together.
	of map[string][]v1alpha1.Workload
	// lasts is how long what was read is gone by: longer where it took long to read.
	lasts time.Duration
}

// concern adds the workloads of a Rollback.
func (r *rules) concern(rb *v1alpha1.Rollback) {
	if r.of == nil {
		r.of = map[string][]v1alpha1.Workload{}
	}
	r.of[rb.Namespace] = append(r.of[rb.Namespace], rb.Status.Workloads()...)
}

// forget has all of it read anew.
func (r *rules) forget() { *r = rules{of: r.of} }

// about are the owners of a Rollback's workloads, and what their namespace says.
func (o Owners) about(workloads []v1alpha1.Workload) Owners {
	out := Owners{Labels: map[string]map[string]string{}, Preferences: map[string]Preference{}}
	names := []string{NamespacePreference}
	for _, wl := range workloads {
		names = append(names, wl.String())
	}
	for _, name := range names {
		if labels, there := o.Labels[name]; there {
			out.Labels[name] = labels
		}
		if wish, there := o.Preferences[name]; there {
			out.Preferences[name] = wish
		}
	}
	return out
}

// policyNow resolves what may be done about a Rollback, from policies that are read live.
func (e *Engine) policyNow(ctx context.Context, rb *v1alpha1.Rollback, read *rules) (Policy, error) {
	ns := rb.Namespace
	workloads := rb.Status.Workloads()
	if now := e.Now(); now.Sub(read.at) >= max(rulesLast, read.lasts) {
		read.forget()
		read.at = now
	}
	if _, known := read.policies[ns]; !known {
		if err := e.readRules(ctx, ns, read, workloads); err != nil {
			return Policy{}, err
		}
	}
	w := &World{Rollback: *rb}
	owners := read.owners[ns].about(workloads)
	if !tellApart(read.policies[ns]) {
		// Every policy is about each of them, one that is gone by now too.
		owners.Labels = map[string]map[string]string{}
		for _, wl := range workloads {
			owners.Labels[wl.String()] = nil
		}
	}
	w.selects(owners)
	beside, err := read.beside(ctx, rb, e.Records.PoliciesNow)
	if err != nil {
		return Policy{}, err
	}
	return e.resolve(w, rulings{read.policies[ns], read.labels[ns], beside}), nil
}

// rulings are the policies that are gone by, the labels of the Rollback's namespace, and beside it the namespaces that
// the same files are rendered into.
type rulings struct {
	all    []v1alpha1.RollbackPolicy
	labels map[string]string
	beside []shares
}

// shares is a namespace that the same files are rendered into, with its own policies.
type shares struct {
	Subject
	own []v1alpha1.RollbackPolicy
}

// beside reads the policies of the namespaces that a Rollback's files are rendered into besides its own, each once.
func (r *rules) beside(ctx context.Context, rb *v1alpha1.Rollback,
	get func(context.Context, string) ([]v1alpha1.RollbackPolicy, map[string]string, error)) ([]shares, error) {
	if rb.Status.Suspect == nil {
		return nil, nil
	}
	var out []shares
	for _, ns := range rb.Status.Suspect.SharedWith {
		known, ok := r.shared[ns]
		if !ok {
			all, labels, err := get(ctx, ns)
			if err != nil {
				return nil, fmt.Errorf("read the policies of namespace %s, which renders the same files: %w", ns, err)
			}
			known = shares{Subject: Subject{Namespace: ns, NamespaceLabels: labels, AnyLabels: true, Shares: true}}
			for _, p := range all {
				if p.Namespace == ns {
					known.own = append(known.own, p)
				}
			}
			if r.shared == nil {
				r.shared = map[string]shares{}
			}
			r.shared[ns] = known
		}
		out = append(out, known)
	}
	return out, nil
}

// readRules reads what a push goes by in a namespace.
func (e *Engine) readRules(ctx context.Context, ns string, read *rules, workloads []v1alpha1.Workload) error {
	began := e.Now()
	all, labels, err := e.Records.PoliciesNow(ctx, ns)
	if err != nil {
		return fmt.Errorf("read policies: %w", err)
	}
	if of := read.of[ns]; len(of) > 0 {
		workloads = of
	}
	owners, err := e.owners(ctx, ns, workloads)
	if err != nil {
		return err
	}
	if read.policies == nil {
		read.policies, read.labels = map[string][]v1alpha1.RollbackPolicy{}, map[string]map[string]string{}
		read.owners = map[string]Owners{}
	}
	read.policies[ns], read.labels[ns], read.owners[ns] = all, labels, owners
	read.lasts = min(read.lasts+2*e.Now().Sub(began), rulesMost)
	return nil
}

// selects takes over what workloads are selected by, where no trigger has looked.
func (w *World) selects(o Owners) {
	w.Seen = map[v1alpha1.TriggerType]Observation{"": {Labels: o.Labels, Preferences: o.Preferences}}
}

// resolve says what policies say about a Rollback's workloads, for each trigger that the record is about and together.
// A hold outlives its workloads, and one that was adopted names none: then all policies of the namespace have their
// say. Where the files are rendered into other namespaces too, their policies have their say, all of them: nothing
// tells which workload there would change.
func (e *Engine) resolve(w *World, by rulings) Policy {
	all, nsLabels := by.all, by.labels
	var subjects []Subject
	preferences := map[string]Preference{}
	workloads := map[string]map[string]string{}
	for _, o := range w.Seen {
		maps.Copy(workloads, o.Labels)
		maps.Copy(preferences, o.Preferences)
	}
	for _, labels := range workloads {
		subjects = append(subjects, Subject{Namespace: w.Rollback.Namespace, NamespaceLabels: nsLabels, Labels: labels})
	}
	if len(subjects) == 0 && w.Rollback.Status.HoldStands() {
		subjects = append(subjects, Subject{Namespace: w.Rollback.Namespace, NamespaceLabels: nsLabels, AnyLabels: true})
	}
	for _, s := range by.beside {
		if len(subjects) == 0 {
			break
		}
		subjects = append(subjects, s.Subject)
		for _, p := range s.own {
			same := func(o v1alpha1.RollbackPolicy) bool { return o.Namespace == p.Namespace && o.Name == p.Name }
			if !slices.ContainsFunc(all, same) {
				all = append(slices.Clip(all), p)
			}
		}
	}
	w.Policies = map[v1alpha1.TriggerType]Policy{}
	var each []Policy
	for _, t := range concerned(w) {
		w.Policies[t] = Resolve(t, subjects, all, e.Home, e.Ceiling).by(&w.Rollback)
		each = append(each, w.Policies[t])
	}
	out := together(each)
	for t := range w.Policies {
		if t.Row().LiftedByPerson {
			out.Lift = v1alpha1.LiftManual
		}
	}
	return preferring(out, preferences)
}

// tellApart reports whether a policy tells workloads apart by their labels.
func tellApart(all []v1alpha1.RollbackPolicy) bool {
	return slices.ContainsFunc(all, func(p v1alpha1.RollbackPolicy) bool {
		return len(p.Spec.Selector.MatchLabels)+len(p.Spec.Selector.MatchExpressions) > 0
	})
}

// gate asks live whether something may be written for a Rollback; nil when it may. What cannot be read is no.
func (e *Engine) gate(ctx context.Context, rb *v1alpha1.Rollback, read *rules, lift bool) error {
	p, err := e.policyNow(ctx, rb, read)
	if err != nil {
		return &barredBy{v1alpha1.BarUnreadable, "whether it may be written cannot be read: " + err.Error()}
	}
	if lift {
		return mayLift(p)
	}
	if err := mayWrite(p, &rb.Status, e.Now()); err != nil {
		return err
	}
	return mustAsk(p, &rb.Status)
}

// reconcilerGroups are the API versions of the kinds that apply.
var reconcilerGroups = map[string]string{
	"Kustomization": "kustomize.toolkit.fluxcd.io/v1", "HelmRelease": "helm.toolkit.fluxcd.io/v2",
}

// owners are what policies select by, and what the objects themselves say: workloads, and Flux objects that apply.
func (e *Engine) owners(ctx context.Context, ns string, of []v1alpha1.Workload) (Owners, error) {
	applies := func(w v1alpha1.Workload) bool { return reconcilerGroups[w.Kind] != "" && e.Applies != nil }
	out, err := e.Pods.Owners(ctx, ns, slices.DeleteFunc(slices.Clone(of), applies))
	if err != nil {
		return out, fmt.Errorf("read the workloads: %w", err)
	}
	for _, w := range of {
		if !applies(w) {
			continue
		}
		a, err := e.Applies.Reconciler(ctx, Key{Namespace: ns, Subject: v1alpha1.Subject{
			APIVersion: reconcilerGroups[w.Kind], Kind: w.Kind, Name: w.Name,
		}})
		if err != nil {
			return out, fmt.Errorf("read %s: %w", w, err)
		}
		if a == nil || a.Gone {
			continue
		}
		if out.Preferences == nil {
			out.Preferences = map[string]Preference{}
		}
		out.Labels[w.String()], out.Preferences[w.String()] = a.Labels, Preference{Annotation: a.Says}
	}
	return out, nil
}

// PolicyOf resolves what the policies say about a Rollback now. People wait for it: it goes by what the record names,
// and asks neither pods nor Git.
func (e *Engine) PolicyOf(ctx context.Context, rb *v1alpha1.Rollback) (Policy, error) {
	owners, err := e.owners(ctx, rb.Namespace, rb.Status.Workloads())
	if err != nil {
		return Policy{}, err
	}
	w := &World{Rollback: *rb}
	w.selects(owners)
	return e.policy(ctx, w)
}

// policy resolves what may be done for the Rollback's workloads.
func (e *Engine) policy(ctx context.Context, w *World) (Policy, error) {
	all, nsLabels, err := e.Records.Policies(ctx, w.Rollback.Namespace)
	if err != nil {
		return Policy{}, fmt.Errorf("read policies: %w", err)
	}
	beside, err := (&rules{}).beside(ctx, &w.Rollback, e.Records.Policies)
	if err != nil {
		return Policy{}, err
	}
	w.labels = nsLabels
	return e.resolve(w, rulings{all, nsLabels, beside}), nil
}
