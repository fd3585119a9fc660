package bench

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	reflectorv1 "github.com/fluxcd/image-reflector-controller/api/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
)

// writeBack does what image automation does: the policies of the apps select a tag that does not exist, which is
// committed. Each app has a commit of its own, or all of them one.
func (s *stage) writeBack(apps []string, together bool) {
	s.b.Helper()
	ctx := s.b.Context()
	s.must(s.alice.Pull(ctx))
	for _, app := range apps {
		p := &reflectorv1.ImagePolicy{}
		s.edit(p, s.fleet.Namespace(env), app, func() {
			p.Status.LatestRef = &reflectorv1.ImageRef{Name: s.fleet.Registry + "/" + app, Tag: fleet.Tag(env, 1)}
		})
		file := s.fleet.File(env, app)
		s.must(s.alice.Write(map[string]string{
			file: strings.Replace(s.fleet.Deployment(env, app), fleet.Tag(env, 0), fleet.Tag(env, 1), 1),
		}))
		if !together {
			_, err := s.alice.Git(ctx, "commit", "--quiet", "-m", "Update "+app, file)
			s.must(err)
		}
	}
	if together {
		_, err := s.alice.Git(ctx, "commit", "--quiet", "--all", "-m", "Update all")
		s.must(err)
	}
	_, err := s.alice.Git(ctx, "push", "--quiet", "origin", "HEAD:refs/heads/"+fleet.Branch)
	s.must(err)
}

// apply does what Flux does: the template gets an image, and Flux says that it applied the tip.
func (s *stage) apply(tag string, apps ...string) {
	s.b.Helper()
	for _, app := range apps {
		d := &appsv1.Deployment{}
		d.Namespace, d.Name = s.fleet.Namespace(env), app
		patch := fmt.Sprintf(`[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":%q}]`, s.fleet.Image(app, tag))
		s.must(s.client.Patch(s.b.Context(), d, client.RawPatch("application/json-patch+json", []byte(patch))))
	}
	s.reconciled()
}

// ended waits until the Rollbacks of apps have ended well.
func (s *stage) ended(apps ...string) {
	s.b.Helper()
	s.until("the revert to be verified", func() error {
		var all v1alpha1.RollbackList
		if err := s.client.List(s.b.Context(), &all, client.InNamespace(s.fleet.Namespace(env))); err != nil {
			return err
		}
		verified := map[string]string{}
		for _, r := range all.Items {
			verified[r.Spec.Subject.Name] = r.Status.Phase
		}
		for _, app := range apps {
			if phase := verified[s.fleet.Image(app, fleet.Tag(env, 1))]; phase != string(v1alpha1.ResultVerified) {
				return fmt.Errorf("that of %s is %s", app, phase)
			}
		}
		return nil
	})
}

// warmUp is how many failures come before those that are measured.
const warmUp = 3

// oneByOne fails one app after another, and says how long after each failure the push was answered.
func (s *stage) oneByOne() []time.Duration {
	s.b.Helper()
	var took []time.Duration
	for i, app := range s.fleet.Apps {
		s.writeBack([]string{app}, false)
		s.apply(fleet.Tag(env, 1), app)
		pod, before := s.kubelet.await(s.b, app), len(s.pushes())
		failed, err := s.kubelet.fail(s.b.Context(), pod)
		s.must(err)
		s.until("the push", func() error {
			select {
			case <-s.push:
			case <-time.After(time.Second):
			}
			if len(s.pushes()) == before {
				return fmt.Errorf("nothing was pushed after the failure of %s", app)
			}
			return nil
		})
		if i >= warmUp {
			took = append(took, s.pushes()[before].Sub(failed))
		}
		s.apply(fleet.Tag(env, 0), app)
		s.ended(app)
	}
	return took
}

func BenchmarkFailureToPush(b *testing.B) {
	n := 100
	s := newStage(b, n+warmUp)
	s.start(s.release("sidecar"))
	for b.Loop() {
		took := s.oneByOne()
		times(b, took)
		b.ReportMetric(float64(len(took)), "failures")
	}
	load(b)
}

func BenchmarkTogether(b *testing.B) {
	const n = 200
	for name, together := range map[string]bool{"one commit": true, "200 commits": false} {
		b.Run(name, func(b *testing.B) {
			s := newStage(b, n)
			s.start(s.release("sidecar"))
			for b.Loop() {
				s.together(together)
			}
			load(b)
		})
	}
}

// together fails all apps at once, and waits until all are reverted.
func (s *stage) together(oneCommit bool) {
	s.b.Helper()
	s.writeBack(s.fleet.Apps, oneCommit)
	s.apply(fleet.Tag(env, 1), s.fleet.Apps...)
	var pods []*corev1.Pod
	for _, app := range s.fleet.Apps {
		pods = append(pods, s.kubelet.await(s.b, app))
	}
	start, before, asked := time.Now(), s.processors(), s.asked.Load()
	var writers sync.WaitGroup
	next := make(chan *corev1.Pod)
	for range 16 {
		writers.Go(func() {
			for pod := range next {
				if _, err := s.kubelet.fail(s.b.Context(), pod); err != nil {
					s.b.Errorf("fail %s: %v", pod.Name, err)
				}
			}
		})
	}
	for _, pod := range pods {
		next <- pod
	}
	close(next)
	writers.Wait()
	written := time.Now()
	s.until("all to be reverted", func() error {
		select {
		case <-s.push:
		case <-time.After(time.Second):
		}
		bad, _ := s.alice.Git(s.b.Context(), "--git-dir="+s.repo, "grep", "-l", "-e", "image: [^ ]*:"+fleet.Tag(env, 1), fleet.Branch)
		if bad != "" {
			return fmt.Errorf("%d are not", len(strings.Fields(bad)))
		}
		return nil
	})
	all := s.pushes()
	s.b.ReportMetric(all[len(all)-1].Sub(start).Seconds(), "all-s")
	s.b.ReportMetric(all[0].Sub(start).Seconds(), "first-s")
	s.b.ReportMetric(written.Sub(start).Seconds(), "written-s")
	s.b.ReportMetric(float64(len(all)), "pushes")
	s.b.ReportMetric(float64(s.asked.Load()-asked), "git-requests")
	for program, seconds := range s.processors() {
		s.b.ReportMetric(seconds-before[program], program+"-cpu-s")
	}
}

// times reports how long something took, of many times.
func times(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2].Seconds(), "p50-s")
	b.ReportMetric(took[(len(took)*99+99)/100-1].Seconds(), "p99-s")
	b.ReportMetric(took[len(took)-1].Seconds(), "max-s")
}

// load reports the machine's load of the last minute, which is what a slow run is to be read with.
func load(b *testing.B) {
	raw, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return
	}
	var one float64
	_, _ = fmt.Sscan(string(raw), &one)
	b.ReportMetric(one, "load")
}
