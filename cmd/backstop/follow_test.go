package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

func TestRollbackNameInEveryFormThatPeopleType(t *testing.T) {
	for typed, want := range map[string]string{
		"web-1":                             "web-1",
		"rollback/web-1":                    "web-1",
		"rollback web-1":                    "web-1",
		"rb/web-1":                          "web-1",
		"Rollbacks web-1":                   "web-1",
		"rollback.backstop.dev/w":           "w",
		"rollbacks.v1alpha1.backstop.dev/w": "w",
		"deploy/web":                        "! deploy/web: want NAME, rollback/NAME or rollback NAME",
		"deploy web":                        "! deploy web: want NAME, rollback/NAME or rollback NAME",
		"rollback/":                         "! rollback/: the name of the Rollback is missing",
		"rollback web-1 web-2":              "! rollback web-1 web-2: want the name of one Rollback",
		"rollback/web-1 web-2":              "! rollback/web-1 web-2: want the name of one Rollback",
		"rollbackpolicy/web-1":              "! rollbackpolicy/web-1: want NAME, rollback/NAME or rollback NAME",
		"rollback.example.com/web":          "! rollback.example.com/web: want NAME, rollback/NAME or rollback NAME",
	} {
		got, err := rollbackName(strings.Fields(typed))
		if err != nil {
			got = "! " + err.Error()
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", typed, got, want)
		}
	}
}

func TestGetTakesKindsInEveryFormThatPeopleType(t *testing.T) {
	for typed, want := range map[string]string{
		"": "rollbacks []", "rb": "rollbacks []", "Rollbacks web-1 web-2": "rollbacks [web-1 web-2]",
		"rollback.backstop.dev/web-1":           "rollbacks [web-1]",
		"rollbacks.v1alpha1.backstop.dev web-1": "rollbacks [web-1]",
		"rollbackpolicy.backstop.dev/web":       "policies [web]",
		"rbp/web":                               "policies [web]",
		"rollback.example.com/web":              "! get rollback.example.com: want rollbacks, policies, holds, drift or events",
		"rollback/":                             "! get rollback/: the name after the slash is missing",
		"drift web":                             "! get drift takes no names",
	} {
		var o getOptions
		what, err := o.parse(strings.Fields(typed))
		got := fmt.Sprintf("%s %v", what, o.names)
		if err != nil {
			got = "! " + err.Error()
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", typed, got, want)
		}
	}
}

// story gives a Rollback one state after the other, and the last one for ever.
type story struct {
	client.Reader
	states []v1alpha1.RollbackStatus
	gone   bool
}

func (s *story) Get(_ context.Context, key client.ObjectKey, o client.Object, _ ...client.GetOption) error {
	if len(s.states) == 0 && s.gone {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "rollbacks"}, key.Name)
	}
	rb := o.(*v1alpha1.Rollback)
	rb.Status = s.states[0]
	if len(s.states) > 1 || s.gone {
		s.states = s.states[1:]
	}
	return nil
}

func TestWaitFollowsAnAnswerToItsEnd(t *testing.T) {
	type states = []v1alpha1.RollbackStatus
	at := func(s int) v1alpha1.Time { return v1alpha1.NewTime(time.Unix(int64(s), 0)) }
	failing := []v1alpha1.Failure{{}}
	asked := v1alpha1.RollbackStatus{Failures: failing, Suspect: &v1alpha1.Suspect{}, Target: &v1alpha1.Target{}, Summary: "somebody has to decide"}
	decided := asked
	decided.Verdict, decided.Summary = &v1alpha1.Verdict{Answer: v1alpha1.Approve}, "pushes the revert"
	end := func(before v1alpha1.RollbackStatus, r v1alpha1.Result, s string, when int) v1alpha1.RollbackStatus {
		before.Outcome = &v1alpha1.Outcome{Result: r, Message: s, At: at(when)}
		return before
	}
	expired := end(asked, v1alpha1.ResultExpired, "nobody answered", 1)
	for name, tt := range map[string]struct {
		first  v1alpha1.RollbackStatus
		then   states
		gone   bool
		answer v1alpha1.Answer
		code   int
		says   []string
	}{
		"an approval that is verified": {
			asked, states{asked, decided, decided, end(decided, v1alpha1.ResultVerified, "v1 runs", 9)}, false, v1alpha1.Approve, exitOK,
			[]string{"Deciding: somebody has to decide", "Reverting: pushes the revert", "Verified: v1 runs"},
		},
		"an approval of what expired goes on": {
			expired, states{expired, decided, end(decided, v1alpha1.ResultVerified, "v1 runs", 9)}, false, v1alpha1.Approve, exitOK,
			[]string{"Expired: waiting for Backstop to read the answer", "Reverting: pushes the revert", "Verified: v1 runs"},
		},
		"an approval that cannot be pushed": {
			asked, states{decided, end(decided, v1alpha1.ResultFailed, "a hook declines it", 9)}, false, v1alpha1.Approve, exitError,
			[]string{"Deciding: somebody has to decide", "Reverting: pushes the revert", "Failed: a hook declines it"},
		},
		"an approval beside a rejection": {
			asked, states{end(v1alpha1.RollbackStatus{Failures: failing, Verdict: &v1alpha1.Verdict{Answer: v1alpha1.Reject}}, v1alpha1.ResultRejected, "joe said no", 9)},
			false, v1alpha1.Approve, exitError,
			[]string{"Deciding: somebody has to decide", "Rejected: joe said no"},
		},
		"a rejection": {
			asked, states{end(v1alpha1.RollbackStatus{Failures: failing, Verdict: &v1alpha1.Verdict{Answer: v1alpha1.Reject}}, v1alpha1.ResultRejected, "jane said no", 9)},
			false, v1alpha1.Reject, exitOK,
			[]string{"Deciding: somebody has to decide", "Rejected: jane said no"},
		},
		"a Rollback that is deleted": {
			asked, nil, true, v1alpha1.Approve, -1,
			[]string{"Deciding: somebody has to decide", "! rollback/web-1 was deleted"},
		},
		"a Rollback that goes on for longer than anybody waits": {
			asked, states{asked}, false, v1alpha1.Approve, -1,
			[]string{"Deciding: somebody has to decide", "! rollback/web-1 has not ended yet (Deciding): the answer stands, and Backstop goes on"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				var out bytes.Buffer
				rb := &v1alpha1.Rollback{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-1"}, Status: tt.first}
				f := follower{client: &story{states: tt.then, gone: tt.gone}, out: &out, every: time.Second}
				err := f.follow(ctx, rb, tt.answer)
				code := exitOK
				var exit exitCode
				switch {
				case errors.As(err, &exit):
					code = int(exit)
				case err != nil:
					code = -1
					out.WriteString("! " + err.Error() + "\n")
				}
				want := strings.Join(tt.says, "\n") + "\n"
				if got := strings.ReplaceAll(out.String(), "rollback/web-1: ", ""); code != tt.code || got != want {
					t.Errorf("code %d, want %d; got\n%s\nwant\n%s", code, tt.code, got, want)
				}
			})
		})
	}
}
