package kube

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// stored answers with objects of two kinds, of which one of each has a field that this version cannot decode.
type stored struct{}

const (
	discovered = `{"kind":"APIResourceList","apiVersion":"v1","groupVersion":%q,"resources":[{"name":%q,"namespaced":true,"kind":%q,"verbs":["get","list"]}]}`
	goodOne    = `{"apiVersion":"kustomize.toolkit.fluxcd.io/v1","kind":"Kustomization","metadata":{"namespace":"a","name":"good"},"spec":{"interval":"1m"}}`
	badOne     = `{"apiVersion":"kustomize.toolkit.fluxcd.io/v1","kind":"Kustomization","metadata":{"namespace":"a","name":"bad","resourceVersion":"7"},"spec":{"interval":{"every":"1m"}}}`
	approved   = `{"apiVersion":"backstop.dev/v1alpha1","kind":"Rollback","metadata":{"namespace":"a","name":"r1"},"spec":{"decisions":[{"by":"jane","answer":"Approve","at":"2026-11-28T11:34:13Z"}]}}`
	unheard    = `{"apiVersion":"backstop.dev/v1alpha1","kind":"Rollback","metadata":{"namespace":"a","name":"r2"},"spec":{"decisions":"all of them"}}`
)

func (stored) RoundTrip(r *http.Request) (*http.Response, error) {
	const flux, ours = "/apis/kustomize.toolkit.fluxcd.io/v1", "/apis/backstop.dev/v1alpha1"
	list := func(kind string, items ...string) string {
		return fmt.Sprintf(`{"kind":%q,"apiVersion":%q,"metadata":{"resourceVersion":"9","continue":"more"},"items":[%s]}`,
			kind+"List", map[string]string{"Rollback": ours, "Kustomization": flux}[kind][len("/apis/"):], strings.Join(items, ","))
	}
	group := func(name, version string) string {
		return fmt.Sprintf(`{"name":%q,"versions":[{"groupVersion":"%s/%s","version":%q}]}`, name, name, version, version)
	}
	body, ok := map[string]string{
		"/api": `{"kind":"APIVersions","versions":[]}`,
		"/apis": `{"kind":"APIGroupList","apiVersion":"v1","groups":[` + group("kustomize.toolkit.fluxcd.io", "v1") + "," +
			group("backstop.dev", "v1alpha1") + `]}`,
		flux:                     fmt.Sprintf(discovered, flux[len("/apis/"):], "kustomizations", "Kustomization"),
		ours:                     fmt.Sprintf(discovered, ours[len("/apis/"):], "rollbacks", "Rollback"),
		flux + "/kustomizations": list("Kustomization", badOne, goodOne),
		flux + "/namespaces/a/kustomizations/bad":  badOne,
		flux + "/namespaces/a/kustomizations/good": goodOne,
		ours + "/rollbacks":                        list("Rollback", approved, unheard),
		ours + "/namespaces/a/rollbacks/r1":        approved,
	}[r.URL.Path]
	code := http.StatusOK
	if !ok {
		code, body = http.StatusNotFound, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`
	}
	return &http.Response{StatusCode: code, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body))}, nil
}

func TestOneObjectThatCannotBeDecodedIsLeftOut(t *testing.T) {
	found := &Unreadables{}
	c, err := Client(&rest.Config{Host: "http://api.test", Transport: stored{}}, found)
	if err != nil {
		t.Fatal(err)
	}
	var ks kustomizev1.KustomizationList
	if err := c.List(t.Context(), &ks); err != nil {
		t.Fatal(err)
	}
	if len(ks.Items) != 1 || ks.Items[0].Name != "good" || ks.Continue != "more" || ks.ResourceVersion != "9" {
		t.Errorf("got %+v, want the good one and the next page's token", ks)
	}
	var rs v1alpha1.RollbackList
	bad, err := Partial(t.Context(), c, &rs)
	if err != nil || len(rs.Items) != 1 || rs.Items[0].Name != "r1" || len(bad) != 1 || bad[0].Ref.Name != "r2" {
		t.Errorf("got %v and %v, %v; want r1 and r2", rs.Items, bad, err)
	}
	var refs []string
	for _, u := range found.List() {
		refs = append(refs, u.Ref.String())
	}
	if diff := cmp.Diff([]string{"Kustomization/a/bad", "Rollback/a/r2"}, refs); diff != "" {
		t.Errorf("unreadable (-want +got):\n%s", diff)
	}
}

func TestAGetSaysWhichObjectCannotBeDecoded(t *testing.T) {
	said := 0
	found := &Unreadables{Tell: func(*Unreadable) { said++ }}
	c, err := Client(&rest.Config{Host: "http://api.test", Transport: stored{}}, found)
	if err != nil {
		t.Fatal(err)
	}
	get := func(name string) error {
		return c.Get(t.Context(), client.ObjectKey{Namespace: "a", Name: name}, &kustomizev1.Kustomization{})
	}
	for range 3 {
		var u *Unreadable
		if err := get("bad"); !errors.As(err, &u) || !strings.Contains(err.Error(), "Kustomization/a/bad cannot be read") {
			t.Fatalf("got %v, want the object that cannot be read", err)
		}
		found.Moved(v1alpha1.ObjectRef{Kind: "Kustomization", Namespace: "a", Name: "bad"}, "8")
	}
	if said != 1 {
		t.Errorf("it was said %d times, want once", said)
	}
	if err := get("good"); err != nil {
		t.Error(err)
	}
	if err := get("none"); !apierrors.IsNotFound(err) {
		t.Errorf("got %v, want not found", err)
	}
}
