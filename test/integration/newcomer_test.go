package integration

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
)

var rewrite = flag.Bool("transcript", false, "write testdata/newcomer.txt anew")

// transcript is what somebody types and what is printed.
type transcript struct {
	*World
	text strings.Builder
	// names stands for what is another one in each run.
	names *strings.Replacer
}

// changing is what differs from run to run, and what stands for it. The order counts.
var changing = []struct {
	what *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z\b`), "DATE"},
	{regexp.MustCompile(`\b\d\d:\d\d(:\d\d)? UTC\b`), "TIME"},
	{regexp.MustCompile(`sha256:[0-9a-f]{12,64}`), "sha256:DIGEST"},
	{regexp.MustCompile(`\b(backend)-[0-9a-f]{10}(-[0-9]+)\b`), "$1-HASH$2"},
	{regexp.MustCompile(`\b(backend)-[0-9a-f]{8,10}-[a-z0-9]{5}\b`), "$1-POD"},
	{regexp.MustCompile(`\b[0-9a-f]{12}\b|\b[0-9a-f]{40}\b`), "COMMIT"},
	{regexp.MustCompile(`\b(\d+h)?(\d+m)?\d+(\.\d+)?m?s\b`), "AGE"},
	{regexp.MustCompile(` {2,}`), "  "},
	// On a slow machine an age is whole minutes, which an interval is as well.
	{regexp.MustCompile(` (?:\d+[dhm])+ (ago|after)\b`), " AGE $1"},
	{regexp.MustCompile(`(?m)  (?:\d+[dhm])+(  |$)`), "  AGE$1"},
	// Whether a sidecar leads is for the tests to say that have one elected.
	{regexp.MustCompile(`(?m)^[✓✗] sidecar.*\n(  fix: .*\n)?`), ""},
	// Where a line is cut depends on the length of all of these.
	{regexp.MustCompile(`(?m): [^\n]*…$`), ": …"},
	{regexp.MustCompile(`(?m) \S*…$`), " …"},
	{regexp.MustCompile(`(?m) +$`), ""},
}

// types runs a command as people type it, as whoever the kubeconfig is of.
func (tr *transcript) types(kubeconfig, command string, more ...string) {
	tr.t.Helper()
	words := strings.Fields(tr.words(command))
	var cmd *exec.Cmd
	switch words[0] {
	case "backstop":
		cmd = exec.CommandContext(tr.t.Context(), buildCommands(tr.t, tr.Env), append(words[1:], more...)...)
		cmd.Env = append(os.Environ(), append(tr.env, "KUBECONFIG="+kubeconfig)...)
		cmd.Dir = tr.Alice.Dir
	case "kubectl":
		out, err := tr.Env.KubectlAs(tr.t.Context(), kubeconfig, append(words[1:], more...)...)
		tr.prints(command, out, err)
		return
	}
	out, err := cmd.CombinedOutput()
	tr.prints(command, string(out), err)
}

func (tr *transcript) prints(command, out string, err error) {
	out = "$ " + tr.words(command) + "\n" + out
	if err != nil {
		out += fmt.Sprintf("(%v)\n", err)
	}
	out = tr.names.Replace(out)
	for _, c := range changing {
		out = c.what.ReplaceAllString(out, c.with)
	}
	fmt.Fprintf(&tr.text, "%s\n\n", strings.TrimRight(out, "\n"))
}

const newcomersPolicy = `{"spec":{"triggers":[{"type":"ImagePull","mode":"Approve"},{"type":"Drift","mode":"Approve"}]}}`

// The way of somebody who tries Backstop for the first time: what each command prints is read by a person before it is
// written down in testdata/newcomer.txt.
func TestTheWalkOfANewcomer(t *testing.T) {
	t.Parallel()
	w := world(t, quick, apps(backend))
	startSidecar(t, w)
	w.Settle()
	ns := w.Fleet.Namespace(prod)
	tr := &transcript{World: w, names: strings.NewReplacer(
		w.Fleet.FluxNamespace(), "flux-system", ns, "production", w.Fleet.Registry, "registry.test", w.Git.URL, "https://git.test",
		w.Name+":", "", "set by kubectl-set", "set by kubectl")}
	me := w.Env.Kubeconfig

	tr.types(me, "backstop doctor -n NS")
	policy := w.auto(prod)
	tr.types(me, "kubectl patch rollbackpolicy "+policy.Name+" -n NS --type=merge", "--patch="+newcomersPolicy)
	w.policySays(policy, "True")
	tr.types(me, "backstop get policies -n NS")
	tr.types(me, "backstop trace deploy/backend -n NS")

	image, r := w.asked(backend, fleet.Tag(prod, 1))
	tr.types(me, "kubectl get rollbacks -n NS")
	tr.types(me, "backstop get rollbacks -n NS")
	tr.types(me, "backstop approve "+r.Name+" -n NS")
	w.ends(prod, image, v1alpha1.ResultVerified)
	tr.types(me, "backstop get rollback "+r.Name+" -n NS")
	tr.types(me, "backstop get holds -n NS")
	tr.types(me, "backstop blame "+image+" -n NS")
	tenant := w.user("tenant", prod, "admin")
	// KUBECONFIG takes a list, and the name of the file has a colon.
	theirs := filepath.Join(t.TempDir(), "kubeconfig")
	w.must(os.Symlink(tenant.kubeconfig, theirs))
	tr.types(theirs, "backstop trace "+image+" -n NS")
	w.Publish(backend, fleet.Tag(prod, 2))
	w.runs(prod, backend, fleet.Tag(prod, 2))
	w.released(image, "")
	tr.types(me, "backstop get holds -n NS")

	newest := w.Fleet.Image(backend, fleet.Tag(prod, 2))
	w.rests(prod)
	w.kubectl(prod, "rollout", "undo", "deployment/backend")
	r, _ = w.adrift(prod, newest, "Deployment/backend")
	tr.types(me, "backstop get drift -n NS")
	tr.types(me, "backstop reject "+r.Name+" -n NS")
	w.ends(prod, newest, v1alpha1.ResultRestored)
	w.rests(prod)
	w.kubectl(prod, "rollout", "undo", "deployment/backend")
	w.adrift(prod, newest, "Deployment/backend")
	r = w.record(prod, newest)
	tr.types(me, "backstop approve "+r.Name+" -n NS")
	w.ends(prod, newest, v1alpha1.ResultVerified)
	tr.types(me, "backstop approve "+r.Name+" -n NS")
	tr.types(me, "backstop trace deploy/nope -n NS")
	tr.types(me, "backstop get -n nowhere")
	tr.types(me, "kubectl get rollbacks -n NS --sort-by=.metadata.creationTimestamp")

	w.must(w.Alice.Pull(t.Context()))
	tr.types(me, "backstop check .")
	tr.types(theirs, "backstop doctor -n NS")
	tr.golden(filepath.Join("testdata", "newcomer.txt"))
}

func (tr *transcript) golden(file string) {
	tr.t.Helper()
	if *rewrite {
		tr.must(os.MkdirAll(filepath.Dir(file), 0o755))
		tr.must(os.WriteFile(file, []byte(tr.text.String()), 0o600))
	}
	want, err := os.ReadFile(file)
	tr.must(err)
	if diff := cmp.Diff(string(want), tr.text.String()); diff != "" {
		tr.t.Errorf("it reads otherwise than %s (-want +got):\n%s", file, diff)
	}
}
