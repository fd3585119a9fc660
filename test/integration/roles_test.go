package integration

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
)

// said is what a command printed, and its exit code.
type said struct {
	text string
	code int
}

// tries runs the CLI as the user, whatever comes of it.
func (u *user) tries(args ...string) said {
	u.t.Helper()
	cmd := exec.CommandContext(u.t.Context(), buildCommands(u.t, u.Env),
		append(args, "--namespace="+u.namespace, "--kubeconfig="+u.kubeconfig)...)
	cmd.Env = append(os.Environ(), u.env...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		u.t.Fatal(err)
	}
	return said{string(out), cmd.ProcessState.ExitCode()}
}

// roles are people with one role each in production, by name.
func (w *World) roles() map[string]*user {
	people := map[string]*user{}
	for name, role := range map[string]string{
		"none": "", "viewer": "view", "editor": "edit", "approver": "backstop-approver", "admin": "admin",
	} {
		people[name] = w.user(name, prod, role)
	}
	return people
}

// Whoever lacks a right is told which, by every command; nothing that was not read is told as a fact.
func TestEveryCommandTellsEveryRoleWhatItMayNotRead(t *testing.T) {
	t.Parallel()
	w := world(t, quick, apps(backend))
	w.auto(prod)
	w.Settle()
	people := w.roles()
	const (
		nothing    = "Nothing found in namespace NS."
		forbidden  = " is forbidden: User \"W:"
		workloads  = "you may not list the workloads of namespace NS: ask for list on deployments, statefulsets, daemonsets and cronjobs there"
		deployment = "you may not read Deployment/backend in namespace NS: ask for get on deployments"
		applied    = "you may not read Kustomization/NSF/production: ask for get on it in namespace NSF"
		unread     = "? apply"
		noRollback = "no rollback nope in namespace NS: see 'backstop get rollbacks -A'"
	)
	type answers map[string]said // by name of the user; "" is everybody else
	for name, tt := range map[string]struct {
		args []string
		want answers
	}{
		"get rollbacks": {[]string{"get", "rollbacks"}, answers{"": {nothing, 0}, "none": {forbidden, 3}}},
		"get policies":  {[]string{"get", "policies"}, answers{"": {"ImagePull=Auto", 0}, "none": {forbidden, 3}}},
		"get holds":     {[]string{"get", "holds"}, answers{"": {nothing, 0}, "none": {forbidden, 3}}},
		"get events":    {[]string{"get", "events"}, answers{"": {nothing, 0}, "none": {forbidden, 3}, "approver": {forbidden, 3}}},
		"get drift":     {[]string{"get", "drift"}, answers{"": {nothing, 0}, "none": {forbidden, 3}, "approver": {forbidden, 3}}},
		"trace": {[]string{"trace", "deploy/backend"}, answers{
			"": {unread, 3}, "none": {deployment, 3}, "approver": {deployment, 3}}},
		"doctor": {[]string{"doctor"}, answers{"": {unread, 3}, "none": {workloads, 3}, "approver": {workloads, 3}}},
		"blame": {[]string{"blame", "deploy/backend"}, answers{
			"": {applied, 3}, "none": {forbidden, 3}, "approver": {forbidden, 3}}},
		"revert": {[]string{"revert", "deploy/backend", "--dry-run"}, answers{
			"": {applied, 3}, "none": {forbidden, 3}, "approver": {forbidden, 3}}},
		"revert --pull-request": {[]string{"revert", "deploy/backend", "--pull-request"}, answers{
			"": {applied, 3}, "none": {forbidden, 3}, "approver": {forbidden, 3}}},
		"approve": {[]string{"approve", "nope"}, answers{"": {noRollback, 1}, "none": {forbidden, 3}}},
		"reject":  {[]string{"reject", "rollback/nope", "--wait"}, answers{"": {noRollback, 1}, "none": {forbidden, 3}}},
		"release": {[]string{"lift", "nope"}, answers{"": {noRollback, 1}, "none": {forbidden, 3}}},
	} {
		t.Run(name, func(t *testing.T) {
			for who, u := range people {
				want, special := tt.want[who]
				if !special {
					want = tt.want[""]
				}
				got := u.tries(tt.args...)
				words := strings.NewReplacer("NSF", w.Fleet.FluxNamespace(), "NS", u.namespace, "W:", w.Name+":").Replace(want.text)
				if got.code != want.code || !strings.Contains(got.text, words) {
					t.Errorf("%s gets code %d, want %d and %q:\n%s", who, got.code, want.code, words, got.text)
				}
				for _, fact := range []string{"✗", "not applied by Flux", "let a Kustomization apply it", "give its ServiceAccount"} {
					if strings.Contains(got.text, fact) {
						t.Errorf("%s is told %q as a fact:\n%s", who, fact, got.text)
					}
				}
			}
		})
	}
}

// Who may not decide is told which Role to ask for, and changes nothing; who may is followed to the end.
func TestWhoMayDecideAndWhoIsTold(t *testing.T) {
	t.Parallel()
	w := world(t, quick, apps(backend))
	startSidecar(t, w)
	w.auto(prod, mode(v1alpha1.ModeApprove))
	people := w.roles()
	w.Settle()
	image, r := w.asked(backend, fleet.Tag(prod, 1))
	says := func(who string, code int, words string, args ...string) {
		t.Helper()
		got := people[who].tries(args...)
		words = strings.ReplaceAll(words, "NS", people[who].namespace)
		if got.code != code || !strings.Contains(got.text, words) {
			t.Errorf("%s: backstop %v ends with %d, want %d and %q:\n%s", who, args, got.code, code, words, got.text)
		}
	}
	const (
		mayNot = "you may not decide in namespace NS: ask for a Role that may update rollbacks there, such as the ClusterRole admin or backstop-approver"
		unread = " is forbidden: User "
	)
	for who, words := range map[string]string{"viewer": mayNot, "editor": mayNot, "none": unread} {
		for _, command := range []string{"approve", "reject"} {
			says(who, 3, words, command, r.Name)
			says(who, 3, words, command, "rollback/"+r.Name, "--wait")
		}
	}
	says("admin", 1, "rollback/"+r.Name+" holds nothing", "lift", r.Name)
	if now := Object(w, r); len(now.Spec.Decisions) > 0 || now.Status.Verdict != nil {
		t.Errorf("somebody who may not has decided: %+v", now.Spec.Decisions)
	}
	says("approver", 0, "Verified: Deployment/backend runs ", "approve", r.Name, "--wait", "--reason=seen on staging too")
	says("admin", 1, "is decided: Approve by "+people["approver"].name, "reject", r.Name)
	r = w.ends(prod, image, v1alpha1.ResultVerified)
	if body := w.git("show", "-s", "--format=%B", r.Status.Change.Commit); !strings.Contains(body+"\n", "\nApproved-because: seen on staging too\n") {
		t.Errorf("the revert does not say why it was approved:\n%s", body)
	}

	for who, words := range map[string]string{"viewer": mayNot, "editor": mayNot, "none": unread} {
		says(who, 3, words, "lift", r.Name)
	}
	if now := Object(w, r); now.Spec.Lift != nil {
		t.Errorf("somebody who may not has lifted the hold: %+v", now.Spec.Lift)
	}
	says("admin", 0, "asked for by "+people["admin"].name+"\n", "lift", "rollback", r.Name)
	w.released(image, people["admin"].name)
	says("approver", 1, "the hold was lifted by "+people["admin"].name, "lift", r.Name)
}
