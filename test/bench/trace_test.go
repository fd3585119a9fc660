package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"testing"

	automationv1 "github.com/fluxcd/image-automation-controller/api/v1"
	reflectorv1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/backstop-dev/backstop/test/fleet"
)

// traced is how many Deployments, ImagePolicies and ImageRepositories there are in all.
const traced = 1000

// BenchmarkTrace is the whole command, from the start of the process to its end: one Deployment is traced among 1,000,
// each with a policy and a repository of its own. The answer is wanted in under a second.
func BenchmarkTrace(b *testing.B) {
	const apps = 10
	s := newStage(b, apps)
	s.selected()
	s.crowd(traced - apps)
	binary := s.release("backstop")
	args := []string{"trace", "deploy/" + s.fleet.Apps[0], "-n", s.fleet.Namespace(env), "-o", "json",
		"--kubeconfig=" + s.plane.Kubeconfig}
	for b.Loop() {
		var stdout, stderr bytes.Buffer
		cmd := exec.CommandContext(b.Context(), binary, args...)
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		err := cmd.Run()
		var exit *exec.ExitError
		if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
			b.Fatalf("trace: %v\n%s", err, stderr.String())
		}
		var got struct {
			Traces []struct{ Hops []struct{ Hop, Mark string } }
		}
		if err := json.Unmarshal(stdout.Bytes(), &got); err != nil || len(got.Traces) != 1 || len(got.Traces[0].Hops) != 10 {
			b.Fatalf("trace prints, %v: %s", err, stdout.String())
		}
		for _, h := range got.Traces[0].Hops {
			if h.Mark == "not read" {
				b.Fatalf("not all was read: %s", stdout.String())
			}
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/trace")
	b.ReportMetric(0, "ns/op")
}

// selected does what image automation does, of the apps that run.
func (s *stage) selected() {
	ns := s.fleet.Namespace(env)
	for _, app := range s.fleet.Apps {
		p := &reflectorv1.ImagePolicy{}
		s.edit(p, ns, app, func() {
			p.Status.LatestRef = &reflectorv1.ImageRef{Name: s.registry.Host() + "/" + app, Tag: fleet.Tag(env, 0)}
		})
		r := &reflectorv1.ImageRepository{}
		s.edit(r, ns, app, func() { r.Status.LastScanResult = &reflectorv1.ScanResult{TagCount: 1, ScanTime: metav1.Now()} })
	}
	a := &automationv1.ImageUpdateAutomation{}
	s.edit(a, ns, env, func() { a.Status.LastAutomationRunTime = new(metav1.Now()) })
}

// crowd adds Deployments that are scaled to nothing, with their policies and repositories.
func (s *stage) crowd(n int) {
	s.b.Helper()
	ns := s.fleet.Namespace(env)
	var group errgroup.Group
	group.SetLimit(16)
	for i := range n {
		group.Go(func() error {
			app := fmt.Sprintf("crowd-%04d", i)
			d := &appsv1.Deployment{}
			if err := yaml.Unmarshal([]byte(s.fleet.Deployment(env, app)), d); err != nil {
				return err
			}
			d.Spec.Replicas = new(int32(0))
			r := &reflectorv1.ImageRepository{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: app}}
			r.Spec.Image, r.Spec.Interval = s.registry.Host()+"/"+app, metav1.Duration{Duration: 1e9}
			p := &reflectorv1.ImagePolicy{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: app}}
			p.Spec.ImageRepositoryRef.Name = app
			p.Spec.Policy.Numerical = &reflectorv1.NumericalPolicy{Order: "asc"}
			return errors.Join(s.client.Create(s.b.Context(), d), s.client.Create(s.b.Context(), r), s.client.Create(s.b.Context(), p))
		})
	}
	s.must(group.Wait())
}
