package deploy_test

import (
	"context"
	"encoding/json"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile/kube"
	"github.com/backstop-dev/backstop/test/testenv"
)

// oddRollback and oddPolicy are the specs of objects with some fields that are filled by the fuzzer.
const (
	oddRollback = `{"openedFor":"ImagePull","subject":{"kind":"Image","name":"registry.test/web:v2"}}`
	oddPolicy   = `{"triggers":[{"type":"ImagePull","mode":"Notify"}]}`
)

// FuzzOddObjects writes objects with odd fields through a real API server. Whatever its schema lets through of Backstop's
// own kinds can be read by Backstop, and costs no other object.
func FuzzOddObjects(f *testing.F) {
	for _, field := range []string{
		`"approval":{"timeout":"1h"}`, `"approval":{"timeout":"1d"}`, `"approval":{"timeout":"1h1"}`, `"approval":{"timeout":"-1h"}`,
		`"approval":{"timeout":"9999999999h"}`, `"approval":{"timeout":3600}`, `"approval":{"timeout":""}`, `"approval":null`,
		`"maxAge":"24h"`, `"maxAge":"1w"`, `"maxAge":"1.5h"`, `"maxAge":"99999999999999999999h"`, `"maxAge":"µs"`, `"maxAge":"5µs"`,
		`"cooldown":"0"`, `"cooldown":"1h "`, `"verifyTimeout":"1e3s"`, `"suspend":"true"`, `"suspend":true`,
		`"selector":{"matchLabels":{"a":1}}`, `"selector":{"matchExpressions":[{"key":"a","operator":"Near"}]}`,
		`"selector":{"matchExpressions":[{"key":"a","operator":"In","values":[null]}]}`,
		`"unknown":{"to":"this version"}`,
	} {
		f.Add("RollbackPolicy", field)
	}
	for _, field := range []string{
		`"decisions":[{"by":"jane","question":"0123456789ab","answer":"Approve","at":"2026-11-28T11:34:13Z"}]`,
		`"decisions":[{"by":"jane","question":"0123456789ab","answer":"Approve","at":"2026-11-28T11:34:13.123456789+01:00"}]`,
		`"decisions":[{"by":"jane","question":"0123456789ab","answer":"Approve","at":"2026-11-28t11:34:13z"}]`,
		`"decisions":[{"by":"jane","question":"0123456789ab","answer":"Approve","at":"2026-11-28T11:34:60Z"}]`,
		`"decisions":[{"by":"jane","question":"0123456789ab","answer":"Approve","at":"2026-11-28T24:00:00Z"}]`,
		`"decisions":[{"by":"jane","question":"0123456789ab","answer":"Approve","at":"0000-01-01T00:00:00Z"}]`,
		`"decisions":[{"by":"jane","question":"0123456789ab","answer":"Approve","at":"2026-02-30T00:00:00Z"}]`,
		`"decisions":[{"by":"jane","question":"0123456789ab","answer":"Approve","at":"2026-11-28T11:34:13-23:59"}]`,
		`"decisions":[{"by":"jane","question":"0123456789ab","answer":"Approve","at":"now"}]`, `"decisions":"all of them"`, `"decisions":[null]`, `"decisions":{}`,
	} {
		f.Add("Rollback", field)
	}
	// A control plane of its own: the admission policies of the overlays let Backstop alone open a Rollback.
	env, err := testenv.Start(context.Background(), testenv.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(env.Stop)
	found := &kube.Unreadables{}
	c, err := kube.Client(env.Config, found)
	if err != nil {
		f.Fatal(err)
	}
	write := func(t *testing.T, kind, name, spec string) bool {
		t.Helper()
		o := &unstructured.Unstructured{}
		if json.Unmarshal([]byte(spec), &map[string]any{}) != nil {
			return false
		}
		raw := `{"apiVersion":"backstop.dev/v1alpha1","kind":"` + kind + `","metadata":{"namespace":"default","name":"` + name + `"},"spec":` + spec + `}`
		if o.UnmarshalJSON([]byte(raw)) != nil {
			return false
		}
		if err := c.Create(t.Context(), o); err != nil {
			return false
		}
		t.Cleanup(func() {
			if err := c.Delete(context.WithoutCancel(t.Context()), o); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
		return true
	}
	f.Fuzz(func(t *testing.T, kind, field string) {
		var list client.ObjectList
		plain, count := oddPolicy, func() int { return len(list.(*v1alpha1.RollbackPolicyList).Items) }
		switch kind {
		case "RollbackPolicy":
			list = &v1alpha1.RollbackPolicyList{}
		case "Rollback":
			list, plain, count = &v1alpha1.RollbackList{}, oddRollback, func() int { return len(list.(*v1alpha1.RollbackList).Items) }
		default:
			return
		}
		if !write(t, kind, "plain", plain) {
			t.Fatalf("a plain %s was refused", kind)
		}
		want := 1
		if write(t, kind, "odd", plain[:len(plain)-1]+","+field+"}") {
			want++
		}
		bad, err := kube.Partial(t.Context(), c, list, client.InNamespace(metav1.NamespaceDefault))
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		for _, u := range bad {
			t.Errorf("the API server takes %s, and Backstop cannot read it: %v", field, u)
		}
		if n := count() + len(bad); n != want {
			t.Errorf("%d objects are listed, want %d", n, want)
		}
	})
}
