package deliver_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/deliver"
	"github.com/backstop-dev/backstop/test/forgestub"
)

func TestTheWayToARepositoryIsKept(t *testing.T) {
	w := start(t, forgestub.Options{Kind: forgestub.Gitea})
	dialled := 0
	forges := deliver.NewForges(func(src reconcile.Source) (*reconcile.GitServer, error) {
		dialled++
		return server(src.URL, string(src.Auth.Secret["password"])), nil
	}, nil)
	src := reconcile.Source{Name: types.NamespacedName{Namespace: "flux-system", Name: "fleet"}, URL: w.RepoURL(),
		Timeout: time.Minute, Auth: reconcile.Auth{Secret: map[string][]byte{"password": []byte(forgestub.Token)}}}
	forge := func() reconcile.Forge {
		f, err := forges.Forge(t.Context(), src, "")
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	pr, err := forge().Open(t.Context(), proposal())
	if err != nil {
		t.Fatal(err)
	}
	// Many Rollbacks follow one pull request.
	calls := len(w.Calls())
	for range 20 {
		if _, err := forge().Read(t.Context(), pr.Number); err != nil {
			t.Fatal(err)
		}
	}
	// A pull request and its checks.
	if got := len(w.Calls()) - calls; dialled != 1 || got > 4 {
		t.Errorf("the provider was asked %d times, over %d ways", got, dialled)
	}
	src.Auth.Secret = map[string][]byte{"password": []byte("another")}
	if _, err := forge().Find(t.Context(), branch, "main"); dialled != 2 || reconcile.KindOf(err) != reconcile.FaultUnauthorized {
		t.Errorf("with other credentials: %v, over %d ways", err, dialled)
	}
}

func TestAProviderThatIsAwayIsNotAskedByEachOfMany(t *testing.T) {
	w := start(t, forgestub.Options{Kind: forgestub.GitHub})
	forges := deliver.NewForges(func(src reconcile.Source) (*reconcile.GitServer, error) {
		return server(src.URL, forgestub.Token), nil
	}, nil)
	src := reconcile.Source{URL: w.RepoURL(), Timeout: time.Minute}
	forge, err := forges.Forge(t.Context(), src, "")
	if err != nil {
		t.Fatal(err)
	}
	w.SetFault(func(rw http.ResponseWriter, _ *http.Request) bool { rw.WriteHeader(http.StatusBadGateway); return true })
	calls := len(w.Calls())
	for range 20 {
		if _, err := forge.Read(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "502") {
			t.Fatalf("it says %v", err)
		}
	}
	if got := len(w.Calls()) - calls; got > 1 {
		t.Errorf("the provider was asked %d times", got)
	}
}

func TestAWayThatCannotBeFound(t *testing.T) {
	missing := errors.New("no token")
	forges := deliver.NewForges(func(reconcile.Source) (*reconcile.GitServer, error) { return nil, missing }, nil)
	if _, err := forges.Forge(t.Context(), reconcile.Source{}, ""); !errors.Is(err, missing) {
		t.Errorf("it says %v", err)
	}
}

func TestALoginForTheAPIAlone(t *testing.T) {
	w := start(t, forgestub.Options{Kind: forgestub.Gitea})
	var dialled reconcile.Source
	forges := deliver.NewForges(func(src reconcile.Source) (*reconcile.GitServer, error) {
		dialled = src
		return server(w.RepoURL(), string(src.Auth.Secret["bearerToken"])), nil
	}, nil)
	src := reconcile.Source{Name: types.NamespacedName{Namespace: "flux-system", Name: "fleet"}, Timeout: time.Minute,
		URL:  "ssh://git@git.example:2222/acme/fleet.git",
		Auth: reconcile.Auth{Secret: map[string][]byte{"identity": []byte("a key")}},
		API: &reconcile.Login{Name: types.NamespacedName{Namespace: "shop", Name: "api"},
			Auth: reconcile.Auth{Secret: map[string][]byte{"token": []byte(forgestub.Token)}}}}
	forge, err := forges.Forge(t.Context(), src, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := forge.Open(t.Context(), proposal()); err != nil {
		t.Error(err)
	}
	if dialled.URL != "https://git.example/acme/fleet.git" || dialled.Auth.Secret["identity"] != nil {
		t.Errorf("dialled %s with %d keys", dialled.URL, len(dialled.Auth.Secret))
	}
	// Another tenant's login is another way.
	src.API = &reconcile.Login{Name: types.NamespacedName{Namespace: "web", Name: "api"},
		Auth: reconcile.Auth{Secret: map[string][]byte{"token": []byte("another")}}}
	other, err := forges.Forge(t.Context(), src, "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = other.Find(t.Context(), branch, "main")
	w.kindIs(err, reconcile.FaultUnauthorized, "Secret web/api")
}
