package reconcile

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// given are texts that are as long as what they name lets them be: objects, hashes, words of our own.
var given = []string{
	"Canary.PromotedSpec", "Canary.Spec", "Card.Channel", "Card.Hash", "Card.Provider", "Card.TS", "Card.Thread", "Card.Told", "Change.Branch", "Change.Commit", "Change.Hold",
	"Change.Policies", "Hold.Place", "Place.ID", "Condition.Reason", "Condition.Type", "Failure.Cause", "Failure.Container", "Failure.ID", "Failure.Revision",
	"FastForward.Container", "FastForward.Revision", "Lifted.Commit", "Landed.Commit", "Place.Part", "PlaceOrigin.Commit",
	"ObjectRef.Kind", "ObjectRef.Name", "ObjectRef.Namespace", "Outcome.Reason", "Outcome.Result", "PolicyRef.Name",
	"PolicyRef.Namespace", "PolicyRef.UID", "Pull.Pod", "PullRequest.Base", "PullRequest.Branch", "PullRequest.Head", "Question.ID",
	"RelatedCommit.Commit", "Request.Token", "RollbackStatus.Phase", "Rollout.Former", "Rollout.Nodes", "Rollout.Pod",
	"Suspect.Commit", "Suspect.Parent", "Suspect.SharedWith", "Target.Digest", "Target.Image", "TemplateChange.Container", "Verdict.Question",
	"Waiting.Refused", "Workload.Kind", "Workload.Name", "Workload.UID",
}

// counted are lists whose writers stop, or refuse, when they are full.
var countedLists = []string{
	"Card.Told", "Change.Policies", "Question.Answers", "Request.Asked", "RollbackStatus.Conditions", "RollbackStatus.Failures",
	"Returning.PullRequests", "RollbackStatus.FastForward", "RollbackStatus.Holds", "RollbackStatus.Lapsed", "Suspect.Places", "Suspect.SharedBy", "Suspect.SharedWith", "Target.Also", "Target.Values",
}

func TestTheRecordIsCutAsTheSchemaSays(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "deploy", "kustomize", "crds", "backstop.dev_rollbacks.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(data, &crd); err != nil {
		t.Fatal(err)
	}
	schema := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["status"]
	seen := map[string]bool{}
	beside(t, reflect.TypeFor[v1alpha1.RollbackStatus](), "", &schema, seen)
	for _, table := range []map[string]int{texts, identities, lists} {
		for key := range table {
			if !seen[key] {
				t.Errorf("the status has no %s", key)
			}
		}
	}
}

// beside walks a type and its schema together.
func beside(t *testing.T, of reflect.Type, key string, s *apiextensionsv1.JSONSchemaProps, seen map[string]bool) {
	t.Helper()
	seen[key] = true
	switch {
	case of.Kind() == reflect.Pointer:
		beside(t, of.Elem(), key, s, seen)
	case of == reflect.TypeFor[v1alpha1.Time]():
	case s.Type == "array":
		if n, ok := lists[key]; ok && n != int(*s.MaxItems) {
			t.Errorf("%s is cut to %d, and the schema takes %d", key, n, *s.MaxItems)
		} else if !ok && !slices.Contains(countedLists, key) {
			t.Errorf("%s: what becomes of more than %d entries?", key, *s.MaxItems)
		}
		beside(t, of.Elem(), key, s.Items.Schema, seen)
	case of.Kind() == reflect.Struct && s.Type == "object":
		for i := range of.NumField() {
			f := of.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "" {
				beside(t, f.Type, "", s, seen)
				continue
			}
			p := s.Properties[name]
			beside(t, f.Type, of.Name()+"."+f.Name, &p, seen)
		}
	case s.Type == "string" && len(s.Enum) == 0 && of.Kind() == reflect.String:
		n := texts[key] + identities[key]
		if key == "Condition.Message" {
			return
		}
		if n == 0 && !slices.Contains(given, key) {
			t.Errorf("%s: what becomes of more than %d characters?", key, *s.MaxLength)
		}
		if n > 0 && n != int(*s.MaxLength) {
			t.Errorf("%s is cut to %d, and the schema takes %d", key, n, *s.MaxLength)
		}
	}
}

// long fills all that a value has with texts and lists that are longer than any bound.
func long(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		long(v.Elem())
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[v1alpha1.Time]() {
			v.Set(reflect.ValueOf(micro(t0)))
			return
		}
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				long(v.Field(i))
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 40, 40))
		for i := range v.Len() {
			long(v.Index(i))
		}
	case reflect.String:
		v.SetString(strings.Repeat("ä", 5000))
	default:
	}
}

func TestWhatIsTooLongIsCutVisibly(t *testing.T) {
	var s v1alpha1.RollbackStatus
	long(reflect.ValueOf(&s).Elem())
	fit(&s)
	each(reflect.ValueOf(&s), "", func(key string, at reflect.Value) {
		switch at.Kind() {
		case reflect.String:
			if n := texts[key]; n > 0 && (utf8.RuneCountInString(at.String()) > n || !strings.Contains(at.String(), "…")) {
				t.Errorf("%s has %d characters, at most %d are kept: …%s", key, utf8.RuneCountInString(at.String()), n,
					at.String()[len(at.String())-20:])
			}
		case reflect.Slice:
			if n := lists[key]; n > 0 && at.Len() != n {
				t.Errorf("%s has %d entries, at most %d are kept", key, at.Len(), n)
			}
		default:
		}
	})
	if got, want := s.Suspect.OtherImages[7], "… and 33 more"; got != want {
		t.Errorf("the last of too many is %q, want %q", got, want)
	}
	if got, want := s.Question.Doubts[11].Message, "… … and 28 more"; !strings.HasSuffix(got, want) {
		t.Errorf("the last of too many doubts does not end with %q: %q", want, got)
	}
	again := s.DeepCopy()
	fit(again)
	if !reflect.DeepEqual(&s, again) {
		t.Error("what fits is cut again")
	}
}

func TestANameThatIsTooLongIsRefused(t *testing.T) {
	rb := v1alpha1.Rollback{}
	rb.Spec.Subject = v1alpha1.ImageSubject("reg/app:v2")
	for name, n := range map[string]v1alpha1.Place{
		"a path":            {File: strings.Repeat("d/", 200), Pointer: "/spec", Bad: "v2"},
		"a pointer":         {File: "a.yaml", Pointer: strings.Repeat("/values", 80), Bad: "v2"},
		"what stood before": {File: "a.yaml", Pointer: "/spec", Bad: "v2", Former: strings.Repeat("x", 400)},
	} {
		err := join(&rb, Origin{}, v1alpha1.Suspect{Commit: "c", Places: []v1alpha1.Place{n}})
		if why, refused := AsRefusal(err); !refused || rb.Status.Suspect != nil || !strings.Contains(why, "cannot be recorded") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMorePlacesThanTheRecordTakesAreRefused(t *testing.T) {
	places := func(dir string) v1alpha1.Suspect {
		s := v1alpha1.Suspect{Commit: "c"}
		for range v1alpha1.MaxPlaces - 1 {
			s.Places = append(s.Places, v1alpha1.Place{File: dir + strings.Repeat("x", len(s.Places)), Pointer: "/spec", Bad: "v2"})
		}
		return s
	}
	rb := v1alpha1.Rollback{}
	if err := join(&rb, Origin{}, places("one/")); err != nil {
		t.Fatal(err)
	}
	err := join(&rb, Origin{}, places("two/"))
	if _, refused := AsRefusal(err); !refused || rb.Status.Suspect != nil {
		t.Errorf("a part of the places is reverted: %v", err)
	}
}

// wordy is a kubelet that says a lot, on a platform with a long name.
type wordy struct{ Pods }

func (p wordy) Failing(ctx context.Context, key Key, known []v1alpha1.Workload) (PodsSeen, error) {
	seen, err := p.Pods.Failing(ctx, key, known)
	for i := range seen.Failures {
		seen.Failures[i].Message = strings.Repeat("no space left on device ", 400)
		seen.Failures[i].Pull = &v1alpha1.Pull{Pod: "a", Platform: strings.Repeat("linux/", 40)}
	}
	return seen, err
}

func TestForeignTextsDoNotKeepARecordFromBeingSaved(t *testing.T) {
	m := newModel()
	e := m.engine("prod", Budget{})
	m.selected = imgBad
	m.writeBack()
	m.rollOut()
	e.Pods = wordy{e.Pods}
	if _, err := e.Walk(t.Context(), ImageKey(m.ns, imgBad)); err != nil {
		t.Fatal(err)
	}
	for _, r := range m.records {
		if overlongTexts(&r.Status) {
			t.Errorf("%s holds more than the server takes", r.Name)
		}
	}
}

func overlongTexts(s *v1alpha1.RollbackStatus) bool {
	again := s.DeepCopy()
	fit(again)
	return !reflect.DeepEqual(s, again)
}
