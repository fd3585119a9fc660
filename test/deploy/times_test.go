package deploy_test

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile/record"
)

// times patches decisions with every form of a time. What the API server takes, everybody must be able to read, and
// the next decision must find it unchanged.
func (s suite) times(t *testing.T) {
	itself := s.almighty(t, backstop)
	const refused = "spec.decisions[0].at"
	for i, tt := range []struct{ name, at, want string }{
		{"without a fraction", "2026-11-28T11:34:13Z", ""},
		{"with milliseconds", "2026-11-28T11:34:13.123Z", ""},
		{"with microseconds", "2026-11-28T11:34:13.123456Z", ""},
		{"with nanoseconds", "2026-11-28T11:34:13.123456789Z", ""},
		{"in another zone", "2026-11-28T12:34:13+01:00", ""},
		{"with a space", "2026-11-28 11:34:13Z", refused},
		{"without a zone", "2026-11-28T11:34:13", refused},
		{"with small letters", "2026-11-28t11:34:13z", refused},
		{"on a day that is none", "2026-02-30T11:34:13Z", refused},
		{"a second that is none", "2026-11-28T11:34:60Z", refused},
		{"an offset that is none", "2026-11-28T11:34:13+99:99", refused},
		{"a year before all clocks", "0000-11-28T11:34:13Z", refused},
		{"with a fraction after something else", "2026-11-28T11:34:13x5Z", refused},
		{"empty", "", refused},
		{"a word", "now", refused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name := fmt.Sprintf("time-%d", i)
			o := object(t, fmt.Sprintf("{apiVersion: backstop.dev/v1alpha1, kind: Rollback, metadata: {namespace: apps, name: %s}, "+
				"spec: {openedFor: ImagePull, subject: {kind: Image, name: 'web:%s'}, decisions: []}}", name, name))
			if err := itself.Create(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			question := client.RawPatch(types.MergePatchType, fmt.Appendf(nil,
				`{"status":{"question":{"id":%q,"until":%q,"answers":["Approve","Reject"]}}}`, asked, "2026-11-28T12:34:13Z"))
			if err := itself.Status().Patch(t.Context(), o, question); err != nil {
				t.Fatal(err)
			}
			patch := client.RawPatch(types.JSONPatchType, fmt.Appendf(nil,
				`[{"op":"add","path":"/spec/decisions/-","value":{"by":"alice","question":%q,"answer":"Approve","at":%q}}]`, asked, tt.at))
			err := s.almighty(t, "alice").Patch(t.Context(), o, patch)
			want(t, err, tt.want)
			if tt.want != "" {
				return
			}
			// Backstop reads it and writes it back beside another.
			var r v1alpha1.Rollback
			if err := itself.Get(t.Context(), client.ObjectKeyFromObject(o), &r); err != nil {
				t.Fatal(err)
			}
			r.Spec.Decisions = append(r.Spec.Decisions, v1alpha1.Decision{By: "slack:T1/U1", Question: asked, Answer: v1alpha1.Approve, At: at})
			if err := (&record.Records{Client: itself}).SaveDecisions(t.Context(), &r); err != nil {
				t.Errorf("the next decision: %v", err)
			}
		})
	}
}
