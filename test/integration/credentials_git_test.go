package integration

import (
	"strings"
	"testing"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
	"github.com/backstop-dev/backstop/test/gitserver"
)

// gitSecret is the Secret of the fleet's GitRepository, and gitSource the GitRepository, to be changed before the world
// begins.
func gitSecret(w *World) *corev1.Secret {
	return fleet.Get[*corev1.Secret](w.Fleet, w.Fleet.FluxNamespace(), fleet.SourceName)
}

func gitSource(w *World) *sourcev1.GitRepository {
	return fleet.Get[*sourcev1.GitRepository](w.Fleet, w.Fleet.FluxNamespace(), fleet.SourceName)
}

// amend edits an object of the running world.
func amend[T client.Object](w *World, o T, edit func(T)) {
	w.t.Helper()
	Object(w, o)
	was := o.DeepCopyObject().(T)
	edit(o)
	w.must(w.Client.Patch(w.t.Context(), o, client.MergeFrom(was)))
}

// letIn is the story of credentials: while they are spoilt, an image that fails waits with a sentence that says what is
// wrong with them, and Git is not touched; once they are healed, it is reverted, and so is the next one. It gives the
// sidecar.
func (w *World) letIn(spoil, heal func(), says ...string) *Sidecar {
	w.t.Helper()
	w.Settle()
	w.auto(prod)
	waiting := w.publishBad("frontend", fleet.Tag(prod, 1))
	tip := w.wroteBack(prod, "frontend", fleet.Tag(prod, 1))
	w.fails(prod, waiting) // Flux needs the credentials until here
	spoil()
	s := startSidecar(w.t, w)
	r := w.waits(prod, waiting, says...)
	w.t.Logf("the user reads: %s", r.Status.Waiting.Why)
	if w.Tip() != tip || r.Status.Outcome != nil {
		w.t.Errorf("the tip is %s, want %s: nothing is pushed with credentials that are wrong; outcome %+v", w.Tip(), tip, r.Status.Outcome)
	}
	w.secretNowhere(s)
	heal()
	// Access is tried again after a minute at the latest.
	w.patiently("what waited for access is reverted", 2*patience, w.hasEnded(prod, waiting))
	w.ends(prod, waiting, v1alpha1.ResultVerified)
	bad := w.publishBad("backend", fleet.Tag(prod, 1))
	suspect := w.wroteBack(prod, "backend", fleet.Tag(prod, 1))
	r = w.ends(prod, bad, v1alpha1.ResultVerified)
	if r.Status.Suspect.Commit != suspect {
		w.t.Errorf("blamed %s, want %s", r.Status.Suspect.Commit, suspect)
	}
	w.revertedOnce(prod, "backend", bad, fleet.Tag(prod, 0))
	w.secretNowhere(s)
	return s
}

// swap replaces one key of the Git secret, and swaps it back.
func (w *World) swap(key, wrong string) (spoil, heal func()) {
	right := string(Object(w, gitSecret(w)).Data[key])
	set := func(value string) func() {
		return func() {
			w.t.Helper()
			amend(w, gitSecret(w), func(s *corev1.Secret) { s.Data[key] = []byte(value) })
		}
	}
	return set(wrong), set(right)
}

func TestPrivateCA(t *testing.T) {
	t.Parallel()
	pki, err := gitserver.NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	other, err := gitserver.NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	w := world(t, quick, func(s *setup) {
		s.Git.TLS = pki.Server(false)
		s.Vary = func(w *World) { gitSecret(w).StringData["ca.crt"] = string(pki.CA) }
	})
	spoil, heal := w.swap("ca.crt", string(other.CA))
	w.letIn(spoil, heal, w.Git.URL, "signed by an unknown authority",
		"put it into ca.crt of the Secret of GitRepository "+w.Fleet.FluxNamespace()+"/"+fleet.SourceName)
}

func TestSSHAndAWrongHostKey(t *testing.T) {
	t.Parallel()
	var server *gitserver.SSHServer
	w := world(t, quick, func(s *setup) {
		s.Vary = func(w *World) {
			var err error
			server, err = gitserver.StartSSH(w.Git.Root, "")
			w.must(err)
			t.Cleanup(func() { _ = server.Close() })
			gitSource(w).Spec.URL = server.URL + "/fleet.git"
			gitSecret(w).StringData = map[string]string{"identity": string(server.Identity), "known_hosts": string(server.KnownHosts)}
		}
	})
	_, stranger, err := gitserver.NewKey(server.Addr())
	w.must(err)
	spoil, heal := w.swap("known_hosts", string(stranger))
	w.letIn(spoil, heal, server.URL, "the server's host key is not the one in known_hosts of the Secret of GitRepository "+
		w.Fleet.FluxNamespace()+"/"+fleet.SourceName, "somebody may be in between")
}

func TestBadPassword(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	spoil, heal := w.swap("password", "an old password")
	s := w.letIn(spoil, heal, "the server does not accept the credentials: check the Secret of GitRepository "+
		w.Fleet.FluxNamespace()+"/"+fleet.SourceName)
	w.secretNowhere(s, "an old password")
}

func TestTokenInAURL(t *testing.T) {
	t.Parallel()
	const token, revoked = "ghp_2b7e151628aed2a6abf7158809cf4f3c", "ghp_00000000000000000000000000revoked"
	with := func(w *World, token string) string {
		return strings.Replace(w.Git.URL, "http://", "http://robot:"+token+"@", 1) + "/fleet.git"
	}
	w := world(t, quick, func(s *setup) {
		s.Git.Username, s.Git.Password = "robot", token
		s.Vary = func(w *World) {
			gitSource(w).Spec.URL, gitSource(w).Spec.SecretRef = with(w, token), nil
			secret := gitSecret(w)
			w.Fleet.Drop(func(o client.Object) bool { return o == secret })
		}
	})
	set := func(token string) func() {
		return func() {
			amend(w, gitSource(w), func(r *sourcev1.GitRepository) { r.Spec.URL = with(w, token) })
		}
	}
	s := w.letIn(set(revoked), set(token), w.Git.URL, "the server does not accept the credentials")
	w.secretNowhere(s, token, revoked)
}
