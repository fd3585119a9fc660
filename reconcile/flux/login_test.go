package flux

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// Who owns a GitRepository chooses where what is sent to it arrives.
func TestALoginIsSentToNoStranger(t *testing.T) {
	const evil = "https://evil.example/acme/fleet"
	for _, c := range []struct {
		name string
		// of is the GitRepository that is deployed, pushes the one that is pushed with, secrets those that policies name.
		of, pushes string
		secrets    []string
		// want is the Secret, at the GitRepository where it is sent; neither where it is refused.
		want, at string
	}{
		{"the platform's to the platform's", "flux-system/fleet", "", []string{"backstop-system/api"}, "backstop-system/api", "flux-system/fleet"},
		{"a tenant's to its own", "team-a/own", "", []string{"team-a/api"}, "team-a/api", "team-a/own"},
		{"a tenant's to the platform's", "flux-system/fleet", "", []string{"team-a/api"}, "team-a/api", "flux-system/fleet"},
		{"the platform's to a tenant's", "team-a/own", "", []string{"backstop-system/api"}, "", ""},
		{"a tenant's to another tenant's", "team-a/own", "", []string{"team-b/api"}, "", ""},
		{"of several the one that may", "team-a/own", "", []string{"backstop-system/api", "team-a/api"}, "team-a/api", "team-a/own"},
		{"the platform's where a tenant's pushes: to what is deployed", "flux-system/fleet", "team-a/own", []string{"backstop-system/api"},
			"backstop-system/api", "flux-system/fleet"},
		{"a tenant's where its own pushes", "flux-system/fleet", "team-a/own", []string{"team-a/api"}, "team-a/api", "team-a/own"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := layout(noCross)
			var secrets []types.NamespacedName
			for _, name := range c.secrets {
				n := split(name)
				secrets = append(secrets, n)
				s.more = append(s.more, secret(n.Namespace, n.Name, map[string]string{"token": name}))
			}
			src := reconcile.Source{Name: split(c.of), URL: fleetURL}
			if c.pushes != "" {
				src.Push = &reconcile.Pusher{Name: split(c.pushes), URL: evil}
			}
			got, err := s.flux(t).WithLogin(t.Context(), secrets, src)
			if c.want == "" {
				if why := refusal(t, err); !strings.Contains(why, "would get to read it") || got.API != nil {
					t.Errorf("refuses %q, and gives %v", why, got.API)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.API.Name.String() != c.want || string(got.API.Auth.Secret["token"]) != c.want || got.Pushes().String() != c.at {
				t.Errorf("sends %s to %s, want %s to %s", got.API.Name, got.Pushes(), c.want, c.at)
			}
		})
	}
}

func TestOnlyWhoCanBeVouchedForSaysWhereItLands(t *testing.T) {
	f := layout(Options{}, git("flux-system/fleet", fleetURL), ks("flux-system/develop", "flux-system/fleet", "./apps/develop", "develop"),
		ks("flux-system/production", "flux-system/fleet", "./apps/production", "production", "flux-system"),
		git("team-b/fleet", fleetURL), ks("team-b/forged", "team-b/fleet", "./", "production", "team-b"), web("develop", "flux-system/develop"),
	).flux(t)
	got, err := f.Origin(t.Context(), "develop", v1alpha1.Workload{Kind: "Deployment", Name: "web"}, nil, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	by := []v1alpha1.ObjectRef{ref("Kustomization", "flux-system", "production"), ref("Kustomization", "team-b", "forged")}
	if with := reconcile.SharedWith(by, got.Lands, "develop"); strings.Join(with, " ") != "production" {
		t.Errorf("it is shared with %q", with)
	}
}
