package integration

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"testing"

	reflectorv1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
	"github.com/backstop-dev/backstop/test/gitserver"
	"github.com/backstop-dev/backstop/test/registrystub"
)

// The passwords hold what encodings change.
const gitPassword, registryPassword = `git+s3cret/%41 "quoted"&=`, `registry+s3cret/%42&=?`

// echo is what a server reports that repeats what it was sent, in every form.
func echo(user, password, host string) string {
	return fmt.Sprintf("debug: login %s:%s, Authorization: Basic %s, password=%s, from http://%s@%s/fleet.git", user, password,
		base64.StdEncoding.EncodeToString([]byte(user+":"+password)), url.QueryEscape(password), url.UserPassword(user, password), host)
}

// private is a fleet whose Git server and registry both ask for a password; image automation and the pods have a pull
// secret.
func private(s *setup) {
	s.Git = gitserver.Options{Username: "flux", Password: gitPassword}
	s.Registry.Basic = &registrystub.Login{Username: "puller", Password: registryPassword}
	s.Vary = func(w *World) {
		login := base64.StdEncoding.EncodeToString([]byte("puller:" + registryPassword))
		config, err := json.Marshal(map[string]any{"auths": map[string]any{w.Registry.Host(): map[string]string{"auth": login}}})
		w.must(err)
		w.Fleet.Objects = append(w.Fleet.Objects, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.Fleet.Namespace(prod), Name: "pull"}, Type: corev1.SecretTypeDockerConfigJson,
			Data: map[string][]byte{corev1.DockerConfigJsonKey: config},
		})
		for _, app := range w.Fleet.Apps {
			fleet.Get[*reflectorv1.ImageRepository](w.Fleet, w.Fleet.Namespace(prod), app).Spec.SecretRef = &meta.LocalObjectReference{Name: "pull"}
			file := w.Fleet.File(prod, app)
			w.Fleet.Files[file] = strings.Replace(w.Fleet.Files[file], "      containers:", "      imagePullSecrets: [{name: pull}]\n      containers:", 1)
		}
	}
}

func TestTheSecretNowhereInLogsEventsStatusOrErrors(t *testing.T) {
	t.Parallel()
	w := world(t, quick, private)
	w.auto(prod)
	w.Settle()
	w.grantSecrets(w.Fleet.Namespace(prod), "pull")
	bad := w.publishBad("backend", fleet.Tag(prod, 1))
	w.wroteBack(prod, "backend", fleet.Tag(prod, 1))
	w.fails(prod, bad, "no match for platform")

	// Git and the registry both fail, and say what they were sent.
	words := echo("flux", gitPassword, "git.example.com")
	w.Git.SetFault(toBackstop(gitserver.Answer(http.StatusInternalServerError, words)))
	stop := w.Registry.Fail("/v2/backend/", registrystub.Fault{
		Status: http.StatusInternalServerError, Header: map[string]string{"Content-Type": "application/json"},
		Body: fmt.Sprintf(`{"errors":[{"code":"UNKNOWN","message":%q}]}`, echo("puller", registryPassword, w.Registry.Host())),
	})
	s := startSidecar(t, w)
	w.waits(prod, bad, "HTTP 500: debug: login flux:[redacted]", "trying again")
	w.secretNowhere(s)
	w.Git.SetFault(nil)
	r := w.waits(prod, bad, "a person decides", "the registry does not confirm")
	if !strings.Contains(r.Status.Target.Proof, "500") {
		t.Errorf("the proof does not say what the registry answered: %s", r.Status.Target.Proof)
	}
	w.secretNowhere(s)
	stop()

	// A hook refuses the push in the same words.
	w.must(gitserver.Hook(w.Repo, "pre-receive", "while read old new ref; do\n\tif git log --format=%B $old..$new | grep -q '^Backstop-Kind:'; then\n"+
		"\t\tcat >&2 <<'END'\n"+words+"\nEND\n\t\texit 1\n\tfi\ndone"))
	next := w.publishBad("frontend", fleet.Tag(prod, 1))
	r = w.ends(prod, next, v1alpha1.ResultFailed, "the server refuses it", "[redacted]")
	w.secretNowhere(s)

	// Nor do the commands print it.
	for _, args := range [][]string{{"get", "rollbacks"}, {"get", "rollbacks", "-o", "yaml"}, {"get", "holds"}, {"approve", r.Name}} {
		args = append(args, "--kubeconfig="+w.Env.Kubeconfig, "-n", r.Namespace)
		out, err := exec.Command(buildCommands(t, w.Env), args...).CombinedOutput()
		w.noSecretIn(fmt.Sprintf("backstop %s (%v)", args[0], err), string(out), w.secrets())
		if len(out) == 0 {
			t.Errorf("backstop %s prints nothing: %v", args[0], err)
		}
	}
}
