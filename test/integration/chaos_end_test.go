package integration

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
)

// records are the Rollbacks of an environment.
func (h *havoc) records(env string) []v1alpha1.Rollback {
	h.t.Helper()
	var list v1alpha1.RollbackList
	h.must(h.Client.List(h.t.Context(), &list))
	return slices.DeleteFunc(list.Items, func(r v1alpha1.Rollback) bool { return r.Namespace != h.Fleet.Namespace(env) })
}

// approveAll lets everybody who may approve all that is asked and was not answered yet, at the same time.
func (h *havoc) approveAll() {
	var all sync.WaitGroup
	var answered sync.Map
	for env, people := range h.people {
		for _, r := range h.records(env) {
			q := r.Status.Question
			if q == nil || r.Status.Outcome != nil || h.answered[r.UID] == q.ID {
				continue
			}
			for _, u := range people {
				all.Go(func() {
					// Who comes second is refused; what was asked may have changed.
					if _, err := u.backstop("approve", r.Name); err == nil {
						answered.Store(r.UID, q.ID)
					}
				})
			}
		}
	}
	all.Wait()
	for uid, question := range answered.Range {
		h.answered[uid.(types.UID)] = question.(string) //nolint:forcetypeassert // they were stored above
	}
}

// calm waits until nothing is left to do: every image that failed was answered for, and what Git says runs.
func (h *havoc) calm() {
	h.t.Helper()
	h.patiently("everything is well again", 2*patience, func() error {
		h.approveAll()
		for env := range h.people {
			for _, r := range h.records(env) {
				if r.Status.Outcome == nil {
					return fmt.Errorf("%s is %s, waiting %+v", r.Spec.Subject.Name, r.Status.Phase, r.Status.Waiting)
				}
			}
			for _, app := range h.Fleet.Apps {
				if err := h.well(env, app); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// well reports whether an app runs what Git says, and that it can run.
func (h *havoc) well(env, app string) error {
	text, err := h.Alice.Git(h.t.Context(), "--git-dir="+h.Repo, "show", fleet.Branch+":"+h.Fleet.File(prod, app))
	if err != nil {
		return err
	}
	tag := ""
	for n := range h.newest[app] + 1 {
		if strings.Contains(text, h.Fleet.Image(app, fleet.Tag(prod, n))+" ") {
			tag = fleet.Tag(prod, n)
		}
	}
	if image := h.Fleet.Image(app, tag); tag == "" || h.bad[image] != "" {
		return fmt.Errorf("Git has %s of %s", image, app)
	}
	return h.Runs(env, app, tag)
}

// holdsTrue asks what must be so after any schedule.
func (h *havoc) holdsTrue() {
	h.t.Helper()
	places := map[string]bool{}
	for _, app := range h.bad {
		places[h.Fleet.File(prod, app)] = true
	}
	for image := range h.bad {
		if n := len(h.trails("Revert", image)); n > 1 {
			h.t.Errorf("%s was reverted %d times", image, n)
		}
		if n := len(h.trails("Hold", image)); n > 1 {
			h.t.Errorf("%s was held %d times", image, n)
		}
		for env := range h.people {
			// One that a person was faster than has no change, and the next failure is another one.
			changed := slices.DeleteFunc(h.rollbacksOf(env, image), func(r v1alpha1.Rollback) bool { return r.Status.Change == nil })
			if len(changed) > 1 {
				h.t.Errorf("%s has %d Rollbacks with a change in %s", image, len(changed), env)
			}
		}
		for _, commit := range h.trails("Revert", image) {
			// What failed together goes back together, and nothing else with it.
			if files := h.changed(commit); slices.ContainsFunc(files, func(f string) bool { return !places[f] }) {
				h.t.Errorf("the revert of %s changes %q", image, files)
			}
		}
	}
	for commit := range strings.FieldsSeq(h.git("log", "--format=%H", "--grep=Backstop-Kind: Revert", fleet.Branch)) {
		body := h.git("show", "-s", "--format=%B", commit)
		if !slices.ContainsFunc(h.badImages(), func(image string) bool { return strings.Contains(body, "Backstop-Image: "+image) }) {
			h.t.Errorf("an image that runs was reverted:\n%s", body)
		}
	}
	h.oneCardEach()
	for _, file := range h.pushed {
		if got := h.File(file); !strings.Contains(got, "hello") {
			h.t.Errorf("what a person pushed to %s is lost", file)
		}
	}
	for _, c := range h.sidecars {
		h.nothingLeaks(c)
	}
}

// oneCardEach asks that no Rollback has two cards. Two sidecars that both believe they lead may post one each.
func (h *havoc) oneCardEach() {
	h.t.Helper()
	if h.replicas > 1 {
		return
	}
	for _, r := range h.records(prod) {
		n := 0
		for _, m := range h.room.slack.Everything() {
			if m.ThreadTS == "" && strings.Contains(string(m.Blocks), r.Name) {
				n++
			}
		}
		if n > 1 {
			h.t.Errorf("%s has %d cards", r.Name, n)
		}
	}
}

func (h *havoc) badImages() []string {
	var all []string
	for image := range h.bad {
		all = append(all, image)
	}
	return all
}

// mostOpen is how many files and connections a sidecar at rest may have open; it has about 25.
const mostOpen = 80

func (h *havoc) nothingLeaks(c *chaosSidecar) {
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", c.Pid()))
	if err != nil {
		return // not Linux
	}
	if len(open) > mostOpen {
		h.t.Errorf("a sidecar at rest has %d files and connections open", len(open))
	}
	h.secretNowhere(c.Sidecar)
}
