package integration

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
	"github.com/backstop-dev/backstop/test/slackstub"
)

// Chaos: what happens to a fleet, and when, is drawn from a seed. While images go bad, the sidecars are killed, servers
// are cut off, the branch is rewritten, and people answer. In the end everything is well again, and whatever was drawn:
//
//	each bad image was reverted once and held once,      no commit of a person is lost,
//	no image that runs was reverted,                     every record has ended,
//	Git and the cluster have an image that runs,         a revert touches its own places alone,
//	no Rollback has two cards
//
// A schedule that fails is replayed by its seed: make chaos SEED=7.

// seeds are the schedules of this run: CHAOS_SEED alone, or CHAOS_N of them from CHAOS_FROM on.
func seeds(t *testing.T) []uint64 {
	t.Helper()
	number := func(name string, otherwise uint64) uint64 {
		text := os.Getenv(name)
		if text == "" {
			return otherwise
		}
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("%s=%q is no number", name, text)
		}
		return n
	}
	if os.Getenv("CHAOS_SEED") != "" {
		return []uint64{number("CHAOS_SEED", 0)}
	}
	var all []uint64
	from := number("CHAOS_FROM", 1)
	for n := range number("CHAOS_N", 4) {
		all = append(all, from+n)
	}
	return all
}

func TestChaos(t *testing.T) {
	t.Parallel()
	for _, seed := range seeds(t) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			drawn := drawSchedule(rand.New(rand.NewPCG(seed, 0)))
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("replay it with make chaos SEED=%d:\n%s", seed, drawn)
				}
			})
			chaos(t, drawn)
		})
	}
}

// schedule is everything that is drawn.
type schedule struct {
	// clusters on the repository, and sidecars of each: two of one cluster both believe that they lead.
	clusters, replicas int
	mode               v1alpha1.Mode
	apps               int
	steps              []chaosStep
}

// chaosStep is one thing that happens.
type chaosStep struct {
	do string
	// before is the pause before it, lasts how long a fault stays.
	before, lasts time.Duration
	// which sidecar, app or way it is about, as a number to take the rest of.
	which int
}

func (s schedule) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d clusters, %d sidecars of each, mode %s, %d apps\n", s.clusters, s.replicas, s.mode, s.apps)
	for _, step := range s.steps {
		fmt.Fprintf(&b, "  after %4d ms: %-28s (%d, for %d ms)\n", step.before.Milliseconds(), step.do, step.which, step.lasts.Milliseconds())
	}
	return b.String()
}

func drawSchedule(r *rand.Rand) schedule {
	s := schedule{clusters: 1 + r.IntN(2), replicas: 1 + r.IntN(2), mode: v1alpha1.ModeAuto, apps: 1 + r.IntN(3)}
	if r.IntN(3) == 0 {
		s.mode = v1alpha1.ModeApprove
	}
	draw := func(do string) chaosStep {
		return chaosStep{
			do: do, which: r.IntN(1000),
			before: time.Duration(r.IntN(1500)) * time.Millisecond, lasts: time.Duration(300+r.IntN(3000)) * time.Millisecond,
		}
	}
	kinds := make([]string, 0, len(mayhem))
	for do := range mayhem {
		kinds = append(kinds, do)
	}
	slices.Sort(kinds)
	for range 5 + r.IntN(5) {
		s.steps = append(s.steps, draw(kinds[r.IntN(len(kinds))]))
	}
	// Whatever else happens, an image goes bad early and another one late.
	return schedule{clusters: s.clusters, replicas: s.replicas, mode: s.mode, apps: s.apps,
		steps: slices.Concat([]chaosStep{draw(anImageGoesBad)}, s.steps[:2], []chaosStep{draw(anImageGoesBad)}, s.steps[2:])}
}

// havoc is a world in which a schedule runs.
type havoc struct {
	*World
	schedule
	// people who may answer, by environment.
	people   map[string][]*user
	policies []*v1alpha1.RollbackPolicy
	sidecars []*chaosSidecar
	// bad are the images that cannot run, with their app, and newest the number of each app's newest tag.
	bad    map[string]string
	newest map[string]int
	// answered is the last question of each Rollback that people answered.
	answered map[types.UID]string
	// pushed are the files that people pushed.
	pushed []string
	// room is where the cards of production go.
	room *room
	// healing are faults that still last.
	healing sync.WaitGroup
}

// chaosSidecar is started again on the same storage, as a container of a pod is.
type chaosSidecar struct {
	*Sidecar
	flags   []string
	storage string
	// disk is the disk that storage is on; empty where it is the machine's.
	disk string
}

func (c *chaosSidecar) start(h *havoc) {
	h.t.Helper()
	c.Sidecar = startSidecar(h.t, h.World, append(c.flags, "--storage="+c.storage)...)
}

func chaos(t *testing.T, s schedule) {
	h := begin(t, s)
	for _, step := range s.steps {
		time.Sleep(step.before)
		mayhem[step.do](h, step)
	}
	h.healing.Wait()
	h.heal()
	h.calm()
	h.holdsTrue()
}

// begin makes a fleet that runs well, with its sidecars.
func begin(t *testing.T, s schedule) *havoc {
	envs := []string{prod, twin}[:s.clusters]
	w := world(t, quick, func(setup *setup) {
		setup.Tapped, setup.Fleet.Environments = true, envs
		for i := range s.apps {
			setup.Fleet.Apps = append(setup.Fleet.Apps, fmt.Sprintf("app-%d", i+1))
		}
		if s.clusters > 1 {
			setup.Vary = makeTwin
		}
	})
	h := &havoc{World: w, schedule: s, bad: map[string]string{}, newest: map[string]int{}, people: map[string][]*user{},
		answered: map[types.UID]string{}}
	h.room = w.room(slackstub.Options{})
	for _, env := range envs {
		h.people[env] = []*user{w.user("alice-"+env, env, "backstop-approver"), w.user("bob-"+env, env, "backstop-approver")}
		change := func(p *v1alpha1.RollbackPolicy) {
			p.Spec.Triggers[0].Mode, p.Spec.Triggers[0].GracePeriod = s.mode, &metav1.Duration{}
			p.Spec.Cooldown = metav1.Duration{}
		}
		namespaces := "--namespaces=" + w.Fleet.Namespace(env)
		if env == twin {
			h.grantSecrets(w.Fleet.Namespace(twin), fleet.SourceName)
			h.policies = append(h.policies, w.auto(env, change, anyone))
		} else {
			namespaces += "," + w.Fleet.FluxNamespace()
			h.policies = append(h.policies, w.auto(env, change, onSlack))
		}
		for range s.replicas {
			c := &chaosSidecar{flags: []string{"--cluster=" + w.Name + "-" + env, "--budget=1000/1h", namespaces}, disk: disk(t)}
			if c.storage = filepath.Join(c.disk, "storage"); c.disk == "" {
				c.storage = t.TempDir()
			}
			c.start(h)
			h.sidecars = append(h.sidecars, c)
		}
		for _, app := range w.Fleet.Apps {
			w.runs(env, app, fleet.Tag(prod, 0))
		}
	}
	return h
}
