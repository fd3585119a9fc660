package integration

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
	"github.com/backstop-dev/backstop/test/proxy"
)

// enoughEffects is how many changes of the world a revert makes at least, each of which is a place to be killed at.
const enoughEffects = 6

func TestProxyKillSweep(t *testing.T) {
	t.Parallel()
	hit := map[proxy.When][]proxy.Request{}
	t.Run("at", func(t *testing.T) {
		for _, when := range []proxy.When{proxy.Before, proxy.After} {
			t.Run(string(when), func(t *testing.T) {
				t.Parallel()
				got := killSweep(t, when)
				common.mu.Lock()
				defer common.mu.Unlock()
				hit[when] = got
			})
		}
	})
	effects, pushes := 0, 0
	for when, requests := range hit {
		effects += len(requests)
		for _, r := range requests {
			t.Logf("killed %s effect %d: %s %s", when, r.N, r.Method, r.Path)
			if strings.HasSuffix(r.Path, push) {
				pushes++
			}
		}
		if len(requests) < enoughEffects {
			t.Errorf("the sidecar was killed %s %d effects, want at least %d", when, len(requests), enoughEffects)
		}
	}
	if pushes < 2 {
		t.Errorf("%d of the effects were pushes, want one before and one after", pushes)
	}
	t.Logf("the sweep hit %d effects", effects)
}

// killSweep kills the sidecar on one side of its nth effect and starts it again, each time with another app whose image
// is bad; n rises until a run ends without that many. It gives the effects that were hit, the push among them.
func killSweep(t *testing.T, when proxy.When) []proxy.Request {
	const most = 18
	w := world(t, quick, func(s *setup) {
		s.Tapped = true
		for i := range most {
			s.Fleet.Apps = append(s.Fleet.Apps, fmt.Sprintf("app-%02d", i+1))
		}
	})
	w.auto(prod, func(p *v1alpha1.RollbackPolicy) {
		p.Spec.Triggers[0].GracePeriod, p.Spec.Cooldown = &metav1.Duration{}, metav1.Duration{}
	})
	w.Settle()
	sidecar := func() *Sidecar { return startSidecar(t, w, "--budget=1000/1h") }
	s := sidecar()
	var hit []proxy.Request
	pushed := false
	for n := 1; n < most; n++ {
		var r *proxy.Request
		if r, s = w.killedAt(s, sidecar, w.Fleet.Apps[n-1], when, func(seq int, _ proxy.Request) bool { return seq == n }); r != nil {
			r.N = n
			hit, pushed = append(hit, *r), pushed || strings.HasSuffix(r.Path, push)
			continue
		}
		rounds := n
		if !pushed {
			// One run saves more often than another one, so that the push may be the nth in each of them but the nth.
			rounds++
			r, _ := w.killedAt(s, sidecar, w.Fleet.Apps[n], when, func(_ int, r proxy.Request) bool { return strings.HasSuffix(r.Path, push) })
			if r == nil {
				t.Fatal("a revert without a push")
			}
			hit = append(hit, *r)
		}
		w.noOrphans(rounds)
		return hit
	}
	t.Errorf("a revert made %d changes or more", most)
	return hit
}

// killedAt makes an app's image bad, kills the sidecar on one side of the effect that at picks by its number within the
// revert, and waits until all is well again. It gives that effect, nil where none was picked, and the sidecar that
// runs.
func (w *World) killedAt(s *Sidecar, start func() *Sidecar, app string, when proxy.When, at func(seq int, r proxy.Request) bool,
) (*proxy.Request, *Sidecar) {
	w.t.Helper()
	var mu sync.Mutex
	seq, picked := 0, 0
	killed := make(chan proxy.Request, 1)
	isPicked := func() bool { mu.Lock(); defer mu.Unlock(); return picked != 0 }
	w.Tap.Hook(func(r proxy.Request, side proxy.When) bool {
		if strings.Contains(r.Path, "/rollbackpolicies/") {
			return false // the sidecar describes policies every few seconds
		}
		mu.Lock()
		defer mu.Unlock()
		if side == proxy.Before {
			if seq++; picked == 0 && at(seq, r) {
				picked = r.N
			}
		}
		if r.N != picked || side != when {
			return false
		}
		s.Kill()
		killed <- r
		return true
	})
	bad := w.publishBad(app, fleet.Tag(prod, 1))
	var hit *proxy.Request
	running := s
	w.patiently(fmt.Sprintf("%s is reverted, with a kill %s an effect", app, when), 2*patience, func() error {
		select {
		case r := <-killed:
			hit, running = &r, start()
		default:
		}
		if err := w.hasEnded(prod, bad)(); err != nil {
			return err
		}
		// The last effect is the one that says that it has ended.
		if hit == nil && isPicked() {
			return fmt.Errorf("the kill is on its way")
		}
		return nil
	})
	w.Tap.Hook(nil)
	w.ends(prod, bad, v1alpha1.ResultVerified)
	w.revertedOnce(prod, app, bad, fleet.Tag(prod, 0))
	w.runs(prod, app, fleet.Tag(prod, 0))
	return hit, running
}

// noOrphans reports that there are as many Rollbacks as images that were bad, and as many holds, and nothing else of
// Backstop's.
func (w *World) noOrphans(images int) {
	w.t.Helper()
	var list v1alpha1.RollbackList
	w.must(w.Client.List(w.t.Context(), &list))
	records := 0
	for _, r := range list.Items {
		if strings.HasPrefix(r.Namespace, w.Fleet.Name+"-") && r.Spec.Subject.Image() != "" {
			records++
		}
	}
	holds := len(strings.Fields(w.git("grep", "-l", "backstop:hold", fleet.Branch)))
	ours := len(strings.Fields(w.git("log", "--format=%H", "--grep=Backstop-Kind: ", fleet.Branch)))
	if records != images || holds != images || ours != 2*images {
		w.t.Errorf("%d bad images left %d Rollbacks, %d files with a hold and %d commits of Backstop's, want one, one and two each",
			images, records, holds, ours)
	}
}

func TestTwoReplicasLeaderKilled(t *testing.T) {
	t.Parallel()
	w := world(t, quick, func(s *setup) { s.Tapped = true })
	w.auto(prod)
	w.Settle()
	common.lease.Lock()
	t.Cleanup(common.lease.Unlock) // after the sidecars have ended
	first := startSidecar(t, w, "--leader-elect=true")
	w.says(first, `"msg":"leader"`, `"self":true`)
	second := startSidecar(t, w, "--leader-elect=true")
	w.says(second, `"msg":"leader"`, `"self":false`)

	killed := w.atPush(proxy.After, first.Kill)
	bad := w.publishBad("backend", fleet.Tag(prod, 1))
	await(t, "the leader pushes and is killed", killed)
	if r := w.record(prod, bad); r.Status.Change != nil {
		t.Errorf("the leader was killed too late: it saved %+v", r.Status.Change)
	}
	if strings.Contains(second.Log(), `"msg":"step"`) {
		t.Error("both replicas worked at once")
	}
	begin := time.Now()
	w.patiently("the second replica takes over", 2*patience, w.hasEnded(prod, bad))
	t.Logf("ended %s after the leader died", time.Since(begin).Round(time.Second))
	w.ends(prod, bad, v1alpha1.ResultVerified)
	w.revertedOnce(prod, "backend", bad, fleet.Tag(prod, 0))
	w.says(second, `"msg":"leader"`, `"self":true`)
	w.says(second, `"msg":"step"`, "the branch says that it was reverted")
	w.secretNowhere(second)
}

func TestAPIServerGoneForTwoMinutes(t *testing.T) {
	t.Parallel()
	w := world(t, quick, func(s *setup) { s.Tapped = true })
	s := startSidecar(t, w)
	w.auto(prod)
	w.Settle()

	// The push arrives, and then there is nobody to record it with.
	gone := w.atPush(proxy.After, w.APIProxy.Refuse)
	bad := w.publishBad("backend", fleet.Tag(prod, 1))
	await(t, "Backstop pushes and the API server is gone", gone)
	begin := time.Now()
	// It cannot hear of the next one.
	next := w.publishBad("frontend", fleet.Tag(prod, 1))
	w.wroteBack(prod, "frontend", fleet.Tag(prod, 1))
	w.fails(prod, w.Fleet.Image("frontend", fleet.Tag(prod, 1)))
	select {
	case <-s.Done():
		t.Fatalf("the sidecar ended: %v", s.Err())
	case <-time.After(time.Until(begin.Add(2 * time.Minute))):
	}
	if r := w.record(prod, bad); r.Status.Change != nil {
		t.Errorf("saved without an API server: %+v", r.Status.Change)
	}
	if r := w.record(prod, next); r != nil {
		t.Errorf("opened without an API server: %s", r.Name)
	}
	w.APIProxy.Admit()
	begin = time.Now()
	for image, app := range map[string]string{bad: "backend", next: "frontend"} {
		w.patiently(app+" is reverted", 3*patience, w.hasEnded(prod, image))
		w.ends(prod, image, v1alpha1.ResultVerified)
		w.revertedOnce(prod, app, image, fleet.Tag(prod, 0))
		w.runs(prod, app, fleet.Tag(prod, 0))
	}
	t.Logf("both ended %s after the API server was back", time.Since(begin).Round(time.Second))
	w.noOrphans(2)
	w.secretNowhere(s)
}
