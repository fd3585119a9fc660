package v1alpha1_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

func TestATimeReadsEveryFormOfRFC3339(t *testing.T) {
	for _, c := range []struct{ name, text, prints string }{
		{"without a fraction", "2026-11-28T11:34:13Z", "2026-11-28T11:34:13.000000Z"},
		{"as Backstop writes it", "2026-11-28T11:34:13.123456Z", "2026-11-28T11:34:13.123456Z"},
		{"with one digit", "2026-11-28T11:34:13.5Z", "2026-11-28T11:34:13.500000Z"},
		{"with milliseconds", "2026-11-28T11:34:13.123Z", "2026-11-28T11:34:13.123000Z"},
		{"with nanoseconds, which are kept", "2026-11-28T11:34:13.123456789Z", "2026-11-28T11:34:13.123456789Z"},
		{"with more digits than a clock has", "2026-11-28T11:34:13.1234567891234Z", "2026-11-28T11:34:13.123456789Z"},
		{"in another zone", "2026-11-28T12:34:13+01:00", "2026-11-28T11:34:13.000000Z"},
		{"in a zone of half hours", "2026-11-28T06:04:13.5-05:30", "2026-11-28T11:34:13.500000Z"},
		{"with an offset of nothing", "2026-11-28T11:34:13-00:00", "2026-11-28T11:34:13.000000Z"},
		{"with small letters", "2026-11-28t11:34:13z", "2026-11-28T11:34:13.000000Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var at v1alpha1.Time
			if err := json.Unmarshal([]byte(`"`+c.text+`"`), &at); err != nil {
				t.Fatal(err)
			}
			raw, err := json.Marshal(at)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(`"`+c.prints+`"`, string(raw)); diff != "" {
				t.Errorf("printed (-want +got):\n%s", diff)
			}
			if got := at.ToUnstructured(); got != c.prints {
				t.Errorf("unstructured: got %v, want %s", got, c.prints)
			}
		})
	}
}

func TestATimeRefusesWhatIsNone(t *testing.T) {
	for _, raw := range []string{`""`, `"yesterday"`, `"2026-11-28"`, `"2026-11-28 11:34:13Z"`, `"2026-02-30T00:00:00Z"`, `17`, `{}`, `true`} {
		var at v1alpha1.Time
		if err := json.Unmarshal([]byte(raw), &at); err == nil {
			t.Errorf("%s: read as %v, want an error", raw, at)
		}
	}
}

func TestNoTimeIsNull(t *testing.T) {
	raw, err := json.Marshal(struct{ At v1alpha1.Time }{})
	if err != nil || string(raw) != `{"At":null}` {
		t.Errorf("got %s, %v", raw, err)
	}
	at := v1alpha1.NewTime(time.Now())
	if err := json.Unmarshal([]byte("null"), &at); err != nil || !at.IsZero() {
		t.Errorf("null: got %v, %v", at, err)
	}
}

func TestATimeStaysTheSameThroughTheAPIServer(t *testing.T) {
	in := &v1alpha1.Rollback{Spec: v1alpha1.RollbackSpec{Decisions: []v1alpha1.Decision{
		{By: "jane", Answer: v1alpha1.Approve, At: v1alpha1.NewTime(time.Now())},
	}}}
	raw, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out v1alpha1.Rollback
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(in, &out); diff != "" {
		t.Errorf("written and read (-want +got):\n%s", diff)
	}
	m, err := runtime.DefaultUnstructuredConverter.ToUnstructured(in)
	if err != nil {
		t.Fatal(err)
	}
	out = v1alpha1.Rollback{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(m, &out); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(in, &out); diff != "" {
		t.Errorf("without types (-want +got):\n%s", diff)
	}
}

func FuzzTime(f *testing.F) {
	for _, s := range []string{"2026-11-28T11:34:13Z", "2026-11-28T11:34:13.5+01:00", "2999-12-31T23:59:59-23:59", "2026-02-30T00:00:00Z"} {
		f.Add(s)
	}
	allowed := crdTimePattern(f)
	f.Fuzz(func(t *testing.T, text string) {
		raw, err := json.Marshal(text)
		if err != nil {
			t.Skip()
		}
		var at, again v1alpha1.Time
		if err := json.Unmarshal(raw, &at); err != nil {
			// What the pattern lets pass and is no day of the calendar, format: date-time refuses.
			date, _, _ := strings.Cut(text, "T")
			if _, wrong := time.Parse(time.DateOnly, date); wrong == nil && allowed.MatchString(text) {
				t.Fatalf("the CRD allows %q, which cannot be read: %v", text, err)
			}
			return
		}
		written, err := json.Marshal(at)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(written, &again); err != nil || !again.Equal(&at) {
			if allowed.MatchString(text) {
				t.Fatalf("%q is written as %s and read as %v: %v", text, written, again, err)
			}
		}
	})
}

// crdTimePattern is the pattern that the CRD has for a decision's time.
func crdTimePattern(tb testing.TB) *regexp.Regexp {
	tb.Helper()
	raw, err := os.ReadFile("../../deploy/kustomize/crds/backstop.dev_rollbacks.yaml")
	if err != nil {
		tb.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^ +pattern: (\^\[12\].*)$`).FindSubmatch(raw)
	if found == nil {
		tb.Fatal("the CRD has no pattern for times")
	}
	return regexp.MustCompile(string(found[1]))
}
