package trigger

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/reconcile"
)

// Apply sees Kustomizations that cannot be built or applied, and HelmReleases that cannot be installed or upgraded for
// another reason than their pods, which other triggers see.
func Apply() reconcile.Trigger {
	return reconcile.Trigger{
		Type: v1alpha1.TriggerApply, Observe: cannotApply, Ended: appliedAgain, Arrived: applied, Doubts: doubtsOfApply,
	}
}

// doubtsOfApply are what a person who is asked should know.
func doubtsOfApply(w *reconcile.World) []v1alpha1.Doubt {
	for _, f := range w.Rollback.Status.Failures {
		if f.Trigger == v1alpha1.TriggerApply && f.Cause == v1alpha1.CauseReleaseHook {
			return []v1alpha1.Doubt{{
				Type: v1alpha1.DoubtMigration, Message: "a hook of the release has run, and what it did is not undone",
			}}
		}
	}
	return nil
}

// applied says what is missing until the object has applied what the branch says now.
func applied(w *reconcile.World) string {
	name, now := w.Rollback.Spec.Subject.String(), w.Seen[v1alpha1.TriggerApply]
	switch r := w.Rollout; {
	case r == nil:
		return name + " cannot be read yet"
	case !r.Contains && r.Source != "":
		return r.Source
	case !r.Contains && r.Waits != "":
		return r.Waits
	case !r.Contains:
		return fmt.Sprintf("%s has not applied %.12s yet", name, w.Rollback.Status.Landed.Commit)
	case now.Over == "" && len(now.Failures) > 0:
		return fmt.Sprintf("%s still fails with the revert: %s", name, now.Failures[0].Message)
	case now.Over == "":
		return name + " does not say yet that it is applied"
	}
	return ""
}

func cannotApply(ctx context.Context, l *reconcile.Look) (reconcile.Observation, error) {
	a, err := l.Reconciler(ctx)
	if err != nil || a == nil {
		return reconcile.Observation{}, err
	}
	w := v1alpha1.Workload{Kind: a.Ref.Kind, Name: a.Ref.Name, UID: a.UID}
	o := reconcile.Observation{Labels: map[string]map[string]string{}, Preferences: a.Preferences}
	switch {
	case a.Gone:
		o.Unnamed = w.String()
		return o, nil
	case a.Ready:
		o.Over = w.String()
	}
	o.Labels[w.String()] = a.Labels
	if f, ok := JudgeApply(a); ok {
		f.Workload = w
		o.Failures = []v1alpha1.Failure{f}
	}
	return o, nil
}

// appliedAgain: what broke it was mended in Git, or is gone.
func appliedAgain(w *reconcile.World) *reconcile.Ending {
	s, now := &w.Rollback.Status, w.Seen[v1alpha1.TriggerApply]
	switch {
	case now.Unnamed != "":
		return &reconcile.Ending{Result: v1alpha1.ResultRecovered, Sentence: now.Unnamed + " does not exist any more"}
	case now.Over != "" && s.Suspect != nil:
		return &reconcile.Ending{Result: v1alpha1.ResultSuperseded, Sentence: fmt.Sprintf(
			"%s applies what Git says again: somebody mended what %.12s broke", now.Over, s.Suspect.Commit)}
	case now.Over != "":
		return &reconcile.Ending{Result: v1alpha1.ResultRecovered, Sentence: now.Over + " applies what Git says again"}
	}
	return nil
}

// maxMessage is how much is kept of what another controller says.
const maxMessage = 1024

// JudgeApply reads why an object cannot be applied. ok is false where it can be, where nobody can tell now, and where
// its pods or its source are the reason, which are seen elsewhere.
func JudgeApply(a *reconcile.Reconciler) (f v1alpha1.Failure, ok bool) {
	if a.Idle || a.Failed == nil {
		return f, false
	}
	said := ownWords(a.Failed.Message)
	for _, row := range applyRows {
		if !row.fits(a.Failed.Reason, said) {
			continue
		}
		if row.cause == "" {
			return f, false
		}
		object := refusedObject(a.Failed.Message)
		// One record tells of one thing that is wrong since the last good revision, however many commits come meanwhile.
		revision := string(row.cause)
		if object != nil {
			revision += " " + object.String()
		}
		if a.LastApplied != "" {
			revision += " since " + a.LastApplied
		}
		return v1alpha1.Failure{
			Trigger: v1alpha1.TriggerApply, Cause: row.cause, Revision: text.Cut(revision, 250),
			Message: text.CutBytes(text.Mask(a.Failed.Message), maxMessage), Since: v1alpha1.NewTime(a.Failed.At),
			Apply: &v1alpha1.Apply{
				Reason: text.Cut(a.Failed.Reason, 128), Revision: text.Cut(a.Revision, 250),
				LastApplied: text.Cut(a.LastApplied, 250), Object: object, Unblamed: text.Cut(a.Unchanged, 1000),
			},
		}, true
	}
	return f, false
}

// The words by which Flux and Helm name the object that the API server refuses.
var (
	refusedByKustomize = regexp.MustCompile(`\b(` + kindWord + `)/(?:` + namespaceWord + `/)?` + nameWord +
		` (?:dry-run failed|apply failed|create failed|delete failed|namespace not specified|not found:)`)
	refusedByHelm = regexp.MustCompile(`(?:server-side apply failed for object|failed to create resource:?|` +
		`conflict occurred while applying object) (?:` + namespaceWord + `/)?` + nameWord + ` \S+, Kind=(` + kindWord + `)`)
	patchedByHelm = regexp.MustCompile(`cannot patch "` + nameWord + `" with kind (` + kindWord + `)`)
)

const (
	kindWord      = `[A-Z][A-Za-z0-9]{0,62}`
	namespaceWord = `([a-z0-9][a-z0-9-]{0,62})`
	nameWord      = `([A-Za-z0-9][A-Za-z0-9.:_-]{0,252})`
)

// refusedObject is the object that a message names; nil where it names none.
func refusedObject(message string) *v1alpha1.ObjectRef {
	if m := refusedByKustomize.FindStringSubmatch(message); m != nil {
		return &v1alpha1.ObjectRef{Kind: m[1], Namespace: m[2], Name: m[3]}
	}
	if m := refusedByHelm.FindStringSubmatch(message); m != nil {
		return &v1alpha1.ObjectRef{Kind: m[3], Namespace: m[1], Name: m[2]}
	}
	if m := patchedByHelm.FindStringSubmatch(message); m != nil {
		return &v1alpha1.ObjectRef{Kind: m[2], Name: m[1]}
	}
	return nil
}

// The parts of a message that are somebody's names, or the reason that an admission webhook or policy gives.
var (
	ofRelease = regexp.MustCompile(`^helm \w+ failed for release \S+ with chart \S+: `)
	quoted    = regexp.MustCompile(`'[^'\s]*'|"[^"\s]*"`)
	refs      = regexp.MustCompile(`\b[\w.-]+(?:/[\w.:-]+)+`)
	files     = regexp.MustCompile(`\b[\w.-]+\.(?:ya?ml|json|env|enc|tpl|txt|toml|properties|age|asc)\b`)
	denied    = regexp.MustCompile(`(?s)(denied (?:the )?request: )(.*)`)
	// A webhook that asks somebody else refuses where it gets no answer, and so does a policy without its parameters.
	unanswered = regexp.MustCompile(`dial tcp|(?:get|post|head|patch) "https?://|context deadline exceeded|` +
		`connection refused|no such host|tls handshake timeout|client\.timeout|x509:|too ?many ?requests|` +
		`failed to configure (?:binding|policy)|no params found`)
)

// noAnswer stands for what a webhook or policy says where it got no answer itself.
const noAnswer = "denied without an answer"

// ownWords is what Flux, Helm and the API server say themselves: a file, an object or a rule may have the name of a
// failure.
func ownWords(message string) string {
	said := strings.ToLower(message)
	if m := denied.FindStringSubmatchIndex(said); m != nil {
		why := said[m[4]:m[5]]
		said = said[:m[3]]
		if unanswered.MatchString(why) {
			said += noAnswer
		}
	}
	for _, names := range []*regexp.Regexp{ofRelease, quoted, files} {
		said = names.ReplaceAllString(said, `""`)
	}
	return refs.ReplaceAllStringFunc(said, func(ref string) string {
		switch {
		case ref == "i/o", ref == "input/output", ref == "group/version", strings.HasPrefix(ref, "install/"):
			return ref
		}
		return "/"
	})
}
