package reconcile

import (
	"fmt"
	"reflect"
	"slices"
	"unicode/utf8"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
)

// The record has a bound for each text and each list, so that it stays small whatever a registry, a commit or a tenant
// wrote. What is for people to read is cut, and ends with "…". A name that something is looked up by is never cut: what
// has one that is too long is refused. Both tables are held against the schema by a test.

// forwardText is how many characters are kept of what a fast-forward says: what is said again is compared with it.
const forwardText = 320

// texts is how many characters are kept of what people read, by type and field.
var texts = map[string]int{
	"Apply.LastApplied":      256,
	"Apply.Reason":           64,
	"Apply.Revision":         256,
	"Apply.Unblamed":         512,
	"Canary.Checks":          180,
	"Canary.Promoted":        320,
	"Canary.PromotedBy":      253,
	"Change.By":              512,
	"Condition.Message":      1024,
	"Doubt.Message":          512,
	"Drift.By":               128,
	"Drift.From":             63,
	"Drift.Live":             320,
	"Drift.Read":             256,
	"Drift.To":               63,
	"Drift.Undone":           320,
	"Drift.UndoneWhy":        320,
	"Drift.Unread":           256,
	"Failure.Message":        1024,
	"FastForward.From":       forwardText,
	"FastForward.Message":    forwardText,
	"FastForward.To":         forwardText,
	"Hold.LiftedBy":          80,
	"Lifted.By":              512,
	"Lifted.Image":           1024,
	"Lapse.Why":              512,
	"Outcome.Message":        1024,
	"Pull.Platform":          64,
	"PullRequest.Because":    512,
	"PullRequest.By":         253,
	"PullRequest.Foreign":    512,
	"PullRequest.Missed":     320,
	"PullRequest.NotMerged":  512,
	"PullRequest.URL":        512,
	"MarkedValue.File":       v1alpha1.MaxPath,
	"MarkedValue.Marker":     317,
	"MarkedValue.Pointer":    255,
	"MarkedValue.Value":      128,
	"PullRequestWait.Name":   128,
	"RelatedCommit.Author":   120,
	"Returning.Unread":       160,
	"ReturningPull.URL":      200,
	"RelatedCommit.Subject":  250,
	"Remediation.Message":    1024,
	"Rollout.FormerImage":    320,
	"Rollout.Platform":       64,
	"Rollout.Reason":         64,
	"Search.Unblamed":        512,
	"RolloutDoubt.Message":   200,
	"RollbackStatus.Summary": 120,
	"Suspect.Author":         200,
	"Suspect.ByHand":         512,
	"Suspect.OtherImages":    320,
	"Suspect.Subject":        250,
	"Target.PassedOver":      320,
	"Target.Proof":           1024,
	"TemplateChange.Name":    64,
	"Verdict.By":             512,
	"Verdict.Why":            512,
	"Waiting.Why":            1024,
}

// identities is how many characters a name may have that comes from Git or from a peer and is never cut.
var identities = map[string]int{
	"Place.Bad":           320,
	"Place.File":          v1alpha1.MaxPath,
	"Place.Former":        320,
	"Place.Marker":        317,
	"Place.Pointer":       255,
	"PlaceOrigin.File":    v1alpha1.MaxPath,
	"PlaceOrigin.Pointer": 255,
	"PlaceValue.Value":    320,
	"Suspect.Branch":      240,
	"Suspect.Image":       1024,
}

// lists is how many entries are kept of what people read.
var lists = map[string]int{
	"Apply.ChangedBy":      3,
	"Canary.Changed":       5,
	"Canary.Checks":        2,
	"Canary.Doubts":        5,
	"Drift.Read":           3,
	"Drift.Unread":         3,
	"PullRequest.WaitsFor": 8,
	"Question.Doubts":      12,
	"Request.Objects":      8,
	"Rollout.Changed":      v1alpha1.MaxTemplateChanges,
	"Search.ChangedBy":     3,
	"Rollout.Doubts":       5,
	"Rollout.Nodes":        2,
	"Suspect.OtherImages":  8,
	"Suspect.Stays":        4,
	"Target.PassedOver":    4,
	"Verdict.Policies":     4,
}

// fit cuts what people read to what the record takes.
func fit(v any) {
	each(reflect.ValueOf(v), "", func(key string, at reflect.Value) {
		switch n, known := lists[key]; {
		case at.Kind() == reflect.Slice && known && at.Len() > n:
			// A list may be somebody else's too: it gets an array of its own.
			kept := reflect.AppendSlice(reflect.MakeSlice(at.Type(), 0, n), at.Slice(0, n))
			more(kept.Index(n-1), at.Len()-n)
			at.Set(kept)
		case at.Kind() == reflect.String:
			if n, cuts := texts[key]; cuts && at.Len() > n {
				at.SetString(text.Cut(at.String(), n))
			}
		}
	})
}

// more says in the last entry of a list how many there were besides.
func more(last reflect.Value, n int) {
	words := fmt.Sprintf("… and %d more", n)
	switch entry := last.Addr().Interface().(type) {
	case *string:
		*entry = fmt.Sprintf("… and %d more", n+1)
	case *v1alpha1.Doubt:
		entry.Message = text.Cut(entry.Message, texts["Doubt.Message"]-len(words)-1) + " " + words
	case *v1alpha1.RolloutDoubt:
		entry.Message = text.Cut(entry.Message, texts["RolloutDoubt.Message"]-len(words)-1) + " " + words
	}
}

// fitting are failures as the record takes them, so that what is seen again is known again.
func fitting(all []v1alpha1.Failure) []v1alpha1.Failure {
	out := slices.Clone(all)
	for i := range out {
		out[i] = *out[i].DeepCopy()
		fit(&out[i])
	}
	return out
}

// overlong reports which name is too long for the record; empty where all fit.
func overlong(v any) string {
	out := ""
	each(reflect.ValueOf(v), "", func(key string, at reflect.Value) {
		n, known := identities[key]
		if out == "" && known && at.Kind() == reflect.String && utf8.RuneCountInString(at.String()) > n {
			out = fmt.Sprintf("%s, which begins with %q, has %d characters, and at most %d are kept", key,
				cut(at.String(), 40), utf8.RuneCountInString(at.String()), n)
		}
	})
	return out
}

// each visits the fields of a value, each with the name of its type and field. The entries of a list have the list's.
func each(v reflect.Value, key string, visit func(key string, at reflect.Value)) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			each(v.Elem(), key, visit)
		}
	case reflect.Struct:
		if _, leaf := v.Interface().(v1alpha1.Time); leaf {
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				each(v.Field(i), v.Type().Name()+"."+v.Type().Field(i).Name, visit)
			}
		}
	case reflect.Slice:
		visit(key, v)
		for i := range v.Len() {
			each(v.Index(i), key, visit)
		}
	case reflect.String:
		visit(key, v)
	default:
	}
}
