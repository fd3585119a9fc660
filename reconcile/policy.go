package reconcile

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// Policy is what may be done about one image: all RollbackPolicies that speak of its workloads, resolved into one.
// The zero value allows nothing.
type Policy struct {
	// Mode is how far Backstop may go by itself; empty allows nothing.
	Mode v1alpha1.Mode
	// Authors whose changes may be reverted; AuthorsWhy says where that comes from, when it is not simply the policy's.
	Authors    v1alpha1.Authors
	AuthorsWhy string
	// Grace, MaxAge, Cooldown, Approval and Verify are the policy's durations.
	Grace, MaxAge, Cooldown, Approval, Verify time.Duration
	// FastForward allows images to be set on workloads ahead of Flux.
	FastForward bool
	// Delivery is the way to the branch.
	Delivery v1alpha1.Delivery
	// PullRequest says where pull requests are opened, and how they are merged.
	PullRequest PullRequests
	// Lift says what lifts a hold.
	Lift v1alpha1.LiftMode
	// SoleCluster means that no other cluster deploys the same.
	SoleCluster bool
	// Source overrides the GitRepository to push with; nil for Flux's own.
	Source *types.NamespacedName
	// Provider is the Flux Provider whose Slack channel gets the card; nil for the controller's default.
	Provider *types.NamespacedName
	// Approvers says for each policy who may decide on Slack. Every policy must let a person; none lets nobody.
	Approvers []Approvers
	// By names the policies, as namespace/name, sorted; Read are the same as they were read.
	By   []string
	Read []v1alpha1.PolicyRef
	// Why says in a sentence where the mode comes from, when it is not simply the policy's.
	Why string
	// Asks are why a person is asked whatever the mode is, as the workloads themselves say.
	Asks []v1alpha1.Doubt
	// Bar says what kept the mode at Notify, where Why says it in words; empty where the policy itself does.
	Bar v1alpha1.Bar
}

// Approvers is who may decide on Slack, as one policy says it.
type Approvers struct {
	// Policy is its namespace/name.
	Policy string
	v1alpha1.SlackApproval
}

// Ceiling is what the controller's flags allow at most, whatever a policy says.
type Ceiling struct {
	// Mode at most; empty means Auto.
	Mode v1alpha1.Mode
	// Authors at most; empty means Anyone.
	Authors v1alpha1.Authors
	// Budget of automatic reverts on one branch.
	Budget Budget
	// NoCrossNamespaceRefs forbids a policy to name a GitRepository of another namespace.
	NoCrossNamespaceRefs bool
}

// Budget is a number of suspect commits that may be reverted by policy on one branch in a span of time.
type Budget struct {
	// Count of suspect commits; zero means no limit.
	Count int
	// Per is the span.
	Per time.Duration
}

// String is COUNT/PER, as the flag takes it.
func (b Budget) String() string { return fmt.Sprintf("%d/%s", b.Count, ShortDuration(b.Per)) }

// ParseBudget reads COUNT/PER, such as 3/1h.
func ParseBudget(s string) (Budget, error) {
	count, per, ok := strings.Cut(s, "/")
	n, err := strconv.Atoi(count)
	if !ok || err != nil || n < 1 {
		return Budget{}, fmt.Errorf("budget %q: want COUNT/DURATION with a count of at least 1, such as 3/1h", s)
	}
	d, err := time.ParseDuration(per)
	if err != nil || d <= 0 {
		return Budget{}, fmt.Errorf("budget %q: %q is not a duration such as 1h", s, per)
	}
	return Budget{Count: n, Per: d}, nil
}

// Subject is a workload as policies select it.
type Subject struct {
	// Name is Kind/name, for sentences.
	Name string
	// Namespace of the workload and its labels.
	Namespace       string
	NamespaceLabels map[string]string
	// Labels of the workload.
	Labels map[string]string
	// AnyLabels means that the labels are not known: every policy of the namespace speaks of it.
	AnyLabels bool
	// Shares means that it is a namespace that the same files are rendered into.
	Shares bool
}

// selectedBy reports whether a policy's selector picks the workload.
func (s Subject) selectedBy(p *v1alpha1.RollbackPolicy) bool {
	return s.AnyLabels || mayMatch(&p.Spec.Selector, s.Labels)
}

// Resolve finds what the policies say together about workloads that run one image.
//
//	suspended policy in the home namespace: stops all that its namespaceSelector picks, everything where it has none
//	fleet policy (home namespace, namespaceSelector)  ◄── a floor under ──  policy in the workload's namespace,
//	                                                      which replaces it where it says allowOverride
//	several that select one workload, several workloads: the stricter value of each field counts
//	flags of the controller: the ceiling
//
// home is Backstop's own namespace.
func Resolve(trigger v1alpha1.TriggerType, subjects []Subject, all []v1alpha1.RollbackPolicy, home string, top Ceiling,
) Policy {
	var out Policy
	var provider *types.NamespacedName
	floored := false
	covered, uncovered := len(subjects) > 0, "no RollbackPolicy selects every workload that runs the image"
	for _, s := range subjects {
		if stop := stopped(s, all, home); stop != nil {
			out = stricter(out, fromSpec(trigger, stop))
			continue
		}
		chosen := choose(s, all, home)
		if len(chosen) == 0 {
			if covered = false; s.Shares {
				uncovered = "no RollbackPolicy speaks of namespace " + s.Namespace + ", which renders the same files"
			}
			continue
		}
		for i := range chosen {
			read := fromSpec(trigger, &chosen[i])
			if chosen[i].Namespace != home {
				// The platform may name its own GitRepositories; who may push is decided where the push is made.
				read = within(read, &chosen[i], top)
			}
			if s.Shares {
				// It says what may be done, and not by whom and where.
				read.Source, read.Provider, read.PullRequest.Secrets, read.PullRequest.Provider = nil, nil, nil, ""
			}
			out = stricter(out, read)
			if chosen[i].Namespace == home && s.Namespace != home {
				floored = floored || lets(chosen[i].Spec.Approval.Slack)
				provider = firstByName(provider, read.Provider)
			}
		}
	}
	if provider != nil || floored {
		// The app of whoever gets the card says who clicked: a tenant's does not speak for the platform's approvers. Where
		// these have no channel of their own, it is the controller's default.
		out.Provider = provider
	}
	if len(out.By) == 0 {
		return Policy{Grace: trigger.Row().Grace, Verify: defaultVerify, Bar: v1alpha1.BarNoPolicy,
			Why: "no RollbackPolicy selects the workload"}
	}
	if !covered && out.Mode != v1alpha1.ModeNotify {
		out.Mode, out.Bar = v1alpha1.ModeNotify, v1alpha1.BarNoPolicy
		out.Why = uncovered
	}
	return under(out, top)
}

// defaultVerify is the API's default, where no policy speaks.
const defaultVerify = 15 * time.Minute

// choose gives the policies that speak of a workload. One whose selector cannot be read speaks of all that it might:
// were it left out, the others would allow what it may have been meant to forbid.
func choose(s Subject, all []v1alpha1.RollbackPolicy, home string) []v1alpha1.RollbackPolicy {
	var own, fleet []v1alpha1.RollbackPolicy
	for _, p := range all {
		switch {
		case p.Spec.NamespaceSelector != nil:
			if p.Namespace == home && mayMatch(p.Spec.NamespaceSelector, s.NamespaceLabels) && s.selectedBy(&p) {
				fleet = append(fleet, p)
			}
		case p.Namespace == s.Namespace && s.selectedBy(&p):
			own = append(own, p)
		}
	}
	if len(own) > 0 {
		// Who may write a policy in a namespace makes the fleet's stricter, and never laxer.
		fleet = slices.DeleteFunc(fleet, func(p v1alpha1.RollbackPolicy) bool { return p.Spec.AllowOverride })
	}
	return append(own, fleet...)
}

// stopped gives the suspended policy of Backstop's own namespace that stops a workload, whatever other policies say;
// nil where none does. A selector that cannot be read stops: it was meant to.
func stopped(s Subject, all []v1alpha1.RollbackPolicy, home string) *v1alpha1.RollbackPolicy {
	for i := range all {
		p := &all[i]
		if !Stops(p, home) {
			continue
		}
		if mayMatch(p.Spec.NamespaceSelector, s.NamespaceLabels) &&
			(s.AnyLabels || mayMatch(&p.Spec.Selector, s.Labels)) {
			return p
		}
	}
	return nil
}

// Stops reports whether a policy is a kill switch that is on: a suspended one in Backstop's own namespace.
func Stops(p *v1alpha1.RollbackPolicy, home string) bool {
	return p.Spec.Suspend && p.Namespace == home
}

// StopsAll reports whether a policy is a kill switch that is on and picks a namespace by its labels.
func StopsAll(p *v1alpha1.RollbackPolicy, home string, labels map[string]string) bool {
	return Stops(p, home) && mayMatch(p.Spec.NamespaceSelector, labels)
}

func fromSpec(trigger v1alpha1.TriggerType, p *v1alpha1.RollbackPolicy) Policy {
	name, row := p.Namespace+"/"+p.Name, trigger.Row()
	out := Policy{
		Mode: v1alpha1.ModeNotify, Authors: v1alpha1.AuthorsAutomation, Delivery: p.Spec.Delivery, Lift: p.Spec.Lift,
		FastForward: p.Spec.FastForward,
		Grace:       row.Grace, MaxAge: row.MaxAge, Cooldown: p.Spec.Cooldown.Duration,
		Approval: p.Spec.Approval.Timeout.Duration, Verify: p.Spec.VerifyTimeout.Duration,
		Approvers:   []Approvers{{name, p.Spec.Approval.Slack}},
		By:          []string{name},
		SoleCluster: p.Spec.SoleCluster,
		Read:        []v1alpha1.PolicyRef{{Namespace: p.Namespace, Name: p.Name, UID: p.UID, Generation: p.Generation}},
		Why:         fmt.Sprintf("policy %s does not list the trigger %s", name, trigger),
	}
	for _, t := range p.Spec.Triggers {
		if t.Type == trigger {
			out = limited(out, t, row)
		}
	}
	if doubtful(p) {
		out.Mode, out.Why = v1alpha1.ModeNotify, fmt.Sprintf("the selector of policy %s cannot be read", name)
		out.Bar = v1alpha1.BarUnreadable
	}
	if p.Spec.Suspend {
		out.Mode, out.Why = v1alpha1.ModeNotify, fmt.Sprintf("policy %s is suspended", name)
		out.Bar = v1alpha1.BarSuspended
	}
	out.PullRequest = pullRequestsOf(p)
	if ref := p.Spec.SourceRef; ref != nil {
		out.Source = &types.NamespacedName{Namespace: cmp.Or(ref.Namespace, p.Namespace), Name: ref.Name}
	}
	if ref := p.Spec.ProviderRef; ref != nil {
		out.Provider = &types.NamespacedName{Namespace: p.Namespace, Name: ref.Name}
	}
	return out
}

// limited takes over what a policy says of one trigger, as far as the trigger lets it.
func limited(out Policy, t v1alpha1.PolicyTrigger, row v1alpha1.TriggerRow) Policy {
	out.Mode, out.Why = cmp.Or(t.Mode, v1alpha1.ModeApprove), ""
	if modeRank(row.MaxMode) < modeRank(out.Mode) {
		out.Mode, out.Why = row.MaxMode, row.MaxModeWhy
	}
	out.Authors = cmp.Or(t.Authors, out.Authors)
	if t.GracePeriod != nil && !row.Timeless {
		out.Grace = t.GracePeriod.Duration
	}
	if t.MaxAge != nil && !row.Timeless {
		out.MaxAge = t.MaxAge.Duration
	}
	return out
}

// by is a policy as it counts for a Rollback: what goes back by files a person decides.
func (p Policy) by(r *v1alpha1.Rollback) Policy {
	if row := v1alpha1.TriggerApply.Row(); r.OfWorkload() && modeRank(row.MaxMode) < modeRank(p.Mode) {
		p.Mode, p.Why = row.MaxMode, row.MaxModeWhy
	}
	return p
}

// lets reports whether somebody may decide on Slack.
func lets(a v1alpha1.SlackApproval) bool {
	return a.ChannelMembers || len(a.Users)+len(a.UserGroups) > 0
}

// stricter takes the careful one of each value. An empty Policy is the neutral element.
func stricter(a, b Policy) Policy {
	if len(a.By) == 0 {
		return b
	}
	out := Policy{
		Mode:     leastOf(a.Mode, b.Mode, modeRank),
		Authors:  leastOf(a.Authors, b.Authors, authorsRank),
		Grace:    max(a.Grace, b.Grace),
		MaxAge:   sooner(a.MaxAge, b.MaxAge),
		Cooldown: max(a.Cooldown, b.Cooldown),
		Approval: min(a.Approval, b.Approval),
		Verify:   max(a.Verify, b.Verify),
		Delivery: a.Delivery, Lift: a.Lift, Source: a.Source, SoleCluster: a.SoleCluster && b.SoleCluster,
		FastForward: a.FastForward && b.FastForward,
	}
	if deliveryRank(b.Delivery) > deliveryRank(a.Delivery) {
		out.Delivery = b.Delivery
	}
	out.PullRequest = stricterPullRequests(a.PullRequest, b.PullRequest)
	if b.Lift == v1alpha1.LiftManual {
		out.Lift = b.Lift
	}
	out.Source = cmp.Or(a.Source, b.Source)
	// There is one card: of several channels the first by name, so that it is always the same one.
	out.Provider = firstByName(a.Provider, b.Provider)
	out.Why, out.Bar = a.Why, a.Bar
	if modeRank(b.Mode) < modeRank(a.Mode) || b.Bar == v1alpha1.BarSuspended {
		out.Why, out.Bar = b.Why, b.Bar
	}
	out.Approvers = append(slices.Clone(a.Approvers), b.Approvers...)
	slices.SortFunc(out.Approvers, func(x, y Approvers) int { return cmp.Compare(x.Policy, y.Policy) })
	out.Approvers = slices.CompactFunc(out.Approvers, func(x, y Approvers) bool { return x.Policy == y.Policy })
	out.By = slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(a.By), b.By...))))
	out.Read = append(slices.Clone(a.Read), b.Read...)
	slices.SortFunc(out.Read, func(x, y v1alpha1.PolicyRef) int { return cmp.Compare(x.String(), y.String()) })
	out.Read = slices.Compact(out.Read)
	if out.Why == "" && a.Mode != b.Mode {
		out.Why = fmt.Sprintf("of the policies %s the stricter counts", strings.Join(out.By, " and "))
	}
	return out
}

// sooner is the shorter of two limits, where zero means no limit.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// within takes away what a tenant may not reach for.
func within(p Policy, from *v1alpha1.RollbackPolicy, top Ceiling) Policy {
	if top.NoCrossNamespaceRefs && p.Source != nil && p.Source.Namespace != from.Namespace {
		p.Mode, p.Source, p.Bar = v1alpha1.ModeNotify, nil, v1alpha1.BarSource
		p.Why = fmt.Sprintf("policy %s names a GitRepository of another namespace, which --no-cross-namespace-refs forbids",
			p.By[0])
	}
	return p
}

func under(p Policy, top Ceiling) Policy {
	if top.Mode != "" && modeRank(top.Mode) < modeRank(p.Mode) {
		p.Mode, p.Why = top.Mode, fmt.Sprintf("the controller's --max-mode is %s", top.Mode)
		if p.Mode == v1alpha1.ModeNotify {
			p.Bar = v1alpha1.BarMaxMode
		}
	}
	if top.Authors != "" && authorsRank(top.Authors) < authorsRank(p.Authors) {
		p.Authors, p.AuthorsWhy = top.Authors, fmt.Sprintf("the controller's --max-authors is %s", top.Authors)
	}
	return p
}

func modeRank(m v1alpha1.Mode) int {
	return slices.Index([]v1alpha1.Mode{v1alpha1.ModeNotify, v1alpha1.ModeApprove, v1alpha1.ModeAuto}, m)
}

// deliveryRank is the higher the less a way may do by itself.
func deliveryRank(d v1alpha1.Delivery) int {
	return slices.Index([]v1alpha1.Delivery{v1alpha1.DeliveryAuto, v1alpha1.DeliveryPush, v1alpha1.DeliveryPullRequest}, d)
}

func authorsRank(a v1alpha1.Authors) int {
	return slices.Index([]v1alpha1.Authors{v1alpha1.AuthorsAutomation, v1alpha1.AuthorsAnyone}, a)
}

func leastOf[T any](a, b T, rank func(T) int) T {
	if rank(b) < rank(a) {
		return b
	}
	return a
}
