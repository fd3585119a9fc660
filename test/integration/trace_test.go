package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/flux"
	"github.com/backstop-dev/backstop/reconcile/gitrepo"
	"github.com/backstop-dev/backstop/reconcile/registry"
	"github.com/backstop-dev/backstop/trace"
)

// runBackstop runs the real backstop with somebody's kubeconfig, and gives what it prints and its exit code.
func (w *World) runBackstop(kubeconfig string, args ...string) (out string, code int) {
	w.t.Helper()
	cmd := exec.Command(buildCommands(w.t, w.Env), append(args, "--kubeconfig="+kubeconfig)...)
	cmd.Env = append(os.Environ(), w.env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatal(err)
	}
	if strings.Contains(stdout.String()+stderr.String(), w.Fleet.Password) {
		w.t.Error("the password of the Git server is printed")
	}
	if stderr.Len() > 0 {
		w.t.Logf("backstop %s: %s", strings.Join(args, " "), &stderr)
	}
	return stdout.String(), cmd.ProcessState.ExitCode()
}

// tracer looks with an administrator's rights. It keeps what it cloned, as --watch does.
func (w *World) tracer() *trace.Gatherer {
	w.t.Helper()
	git, err := gitrepo.New(w.scratch("mirrors"), gitrepo.Options{})
	w.must(err)
	return &trace.Gatherer{
		Client: w.Client, Flux: flux.New(w.Client, flux.Options{Person: true}), Git: git,
		Registry: registry.New(registry.Options{}), Now: time.Now,
		Logins: func(context.Context, string) reconcile.Access { return reconcile.Access{} },
	}
}

// traced traces a workload of production, or the backend; image is the one that is asked for, or none.
func (w *World) traced(g *trace.Gatherer, of v1alpha1.Workload, image string) (*trace.Trail, error) {
	w.t.Helper()
	// The registry is asked anew each time.
	g.Registry = registry.New(registry.Options{})
	if of.Name == "" {
		of = v1alpha1.Workload{Kind: "Deployment", Name: backend}
	}
	facts, err := g.Gather(w.t.Context(), trace.Question{Namespace: w.Fleet.Namespace(prod), Workload: of, Image: image})
	if err != nil {
		return nil, err
	}
	t := trace.Of(facts[0])
	return &t, nil
}

// at is what a trail says of one hop.
func at(t *trace.Trail, name string) trace.Hop {
	if i := slices.IndexFunc(t.Hops, func(h trace.Hop) bool { return h.Name == name }); i >= 0 {
		return t.Hops[i]
	}
	return trace.Hop{}
}

// told is a trail as people read it.
func told(t *trace.Trail) string {
	var b strings.Builder
	_ = trace.Print(&b, t, false)
	return b.String()
}

// mishap is one thing that goes wrong on an image's way.
type mishap struct {
	// hop at which a trace must say so, with these words and this fix.
	hop, why, fix string
	// of is the workload that is traced; the Deployment of the backend where it is empty.
	of v1alpha1.Workload
	// ask for this tag instead of for the workload, and once it is mended for that one.
	ask, asked func(w *World) string
	// spoil makes it happen, and keep writes what a controller would say, before each look: stand-ins say something else.
	spoil, keep func(w *World)
	// mend does what the fix says, where that is not a command alone.
	mend func(w *World, fix string)
	// after cleans up what the fix leaves as it is.
	after func(w *World)
}

const backend = "backend"

// arrived reports whether nothing stops the image of a workload.
func (w *World) arrived(g *trace.Gatherer, of v1alpha1.Workload) func() error {
	return func() error {
		tr, err := w.traced(g, of, "")
		if err == nil && trace.Code([]trace.Trail{*tr}) != trace.CodeGood {
			err = errors.New(told(tr))
		}
		return err
	}
}

// suffer makes each mishap: it must be said at its hop with the fix, and be gone once the fix was done.
func (w *World) suffer(g *trace.Gatherer, all map[string]mishap) {
	for _, name := range slices.Sorted(maps.Keys(all)) {
		well := w.t.Run(name, func(t *testing.T) {
			w := *w
			w.t = t
			m := all[name]
			w.undergo(g, &m)
		})
		if !well {
			w.t.Fatal("what is left of it would be in the way of the others")
		}
	}
}

func (w *World) undergo(g *trace.Gatherer, m *mishap) {
	image := func(tag func(*World) string) string {
		if tag == nil {
			return ""
		}
		return w.Fleet.Image(backend, tag(w))
	}
	if m.spoil != nil {
		m.spoil(w)
	}
	var h trace.Hop
	w.Until("trace says so", func() error {
		if m.keep != nil {
			m.keep(w)
		}
		tr, err := w.traced(g, m.of, image(m.ask))
		if err != nil {
			return err
		}
		if h = at(tr, m.hop); h.Mark != trace.Blocked || !strings.Contains(h.Why, w.words(m.why)) || !strings.Contains(h.Fix, w.words(m.fix)) {
			return fmt.Errorf("want at %s %q, fix: %s\n%s", m.hop, w.words(m.why), w.words(m.fix), told(tr))
		}
		for _, h := range tr.Hops {
			if h.Mark == trace.Blocked && (h.Fix == "" || h.Why == "") {
				w.t.Errorf("%s is stopped without a reason or a fix: %+v", h.Name, h)
			}
		}
		return nil
	})
	if m.mend == nil {
		w.do(h.Fix)
	} else {
		m.mend(w, h.Fix)
	}
	if m.asked == nil {
		m.asked = m.ask
	}
	w.Until("the fix helps: "+h.Fix, func() error {
		tr, err := w.traced(g, m.of, image(m.asked))
		if err == nil && at(tr, m.hop).Mark == trace.Blocked {
			err = errors.New(told(tr))
		}
		return err
	})
	if m.after != nil {
		m.after(w)
	}
	w.Until("everything is where it should be", w.arrived(g, v1alpha1.Workload{}))
}

func TestTraceNamesEveryMishapAndItsFix(t *testing.T) {
	t.Parallel()
	w := world(t, quick, func(s *setup) {
		s.Fleet.Environments, s.Fleet.Apps = []string{"staging", prod}, []string{backend}
		s.Node.PullTimeout = time.Minute
	})
	w.Settle()
	g := w.tracer()
	w.Until("everything is where it should be", w.arrived(g, v1alpha1.Workload{}))
	out, code := w.runBackstop(w.Env.Kubeconfig, "trace", "deploy/backend", "-n", w.Fleet.Namespace(prod))
	if code != 0 || strings.Count(out, "✓") != 10 || strings.Contains(out, "\x1b") {
		t.Errorf("code %d:\n%s", code, out)
	}
	for _, some := range []map[string]mishap{mishapsOfTheRegistry(), mishapsOfGit(), mishapsOfTheCluster()} {
		w.suffer(g, some)
	}
}
