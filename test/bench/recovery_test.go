package bench

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	reflectorv1 "github.com/fluxcd/image-reflector-controller/api/v1"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
	"github.com/backstop-dev/backstop/test/node"
	"github.com/backstop-dev/backstop/test/realflux"
)

// chart renders an app's Deployment for the benchmarks that deploy it by a HelmRelease.
var chart = map[string]string{
	"charts/app/Chart.yaml": "apiVersion: v2\nname: app\nversion: 1.0.0\n",
	"charts/app/templates/deployment.yaml": `apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}}
spec:
  replicas: 1
  selector: {matchLabels: {app: {{ .Release.Name }}}}
  template:
    metadata: {labels: {app: {{ .Release.Name }}}}
    spec:
      containers:
      - name: app
        image: {{ .Values.image }}
`,
}

const helmRelease = `apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: APP, namespace: NS, annotations: {backstop.dev/fast-forward: enabled}}
spec:
  interval: 1h
  timeout: 60s
  upgrade: {disableHooks: true}
  chart: {spec: {chart: ./charts/app, sourceRef: {kind: GitRepository, name: fleet, namespace: FLUX}}}
  values:
    image: IMAGE MARKER
`

// BenchmarkRecovery measures what Flux's own controllers make of a revert, from its push on. Each round releases an
// image of another app that cannot be pulled, and waits until all is well again.
func BenchmarkRecovery(b *testing.B) {
	if os.Getenv("FLUX") == "" {
		b.Skip("FLUX names no folder with the binaries of Flux's own controllers")
	}
	for _, c := range []struct {
		name                    string
		gates, release, forward bool
		rounds                  int
	}{
		{"Kustomization, gates on", true, false, false, 20},
		{"HelmRelease, gates on", true, true, false, 10},
		{"Kustomization, stock", false, false, false, 2},
		{"HelmRelease, stock", false, true, false, 1},
		{"Kustomization, fast-forward", false, false, true, 10},
		{"HelmRelease, fast-forward", false, true, true, 5},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := newRecovery(b, c.rounds, c.gates, c.release)
			if c.forward {
				s.allowForward()
				s.start(s.release("sidecar"), "--fast-forward")
			} else {
				s.start(s.release("sidecar"))
			}
			for b.Loop() {
				rounds := map[string][]float64{}
				for _, app := range s.fleet.Apps {
					for what, at := range s.round(app, c.release) {
						rounds[what] = append(rounds[what], at)
					}
				}
				for what, took := range rounds {
					slices.Sort(took)
					b.ReportMetric(took[len(took)/2], what+"-p50")
					b.ReportMetric(took[(len(took)*99+99)/100-1], what+"-p99")
				}
			}
			load(b)
		})
	}
}

// newRecovery is a cluster with Flux's own controllers and apps, which run.
func newRecovery(b *testing.B, apps int, gates, release bool) *stage {
	s := openStage(b)
	var names []string
	for i := range apps {
		names = append(names, fmt.Sprintf("app-%02d", i))
	}
	o := s.options(names...)
	o.Interval, o.ApplyInterval, o.Wait, o.HealthTimeout = 10*time.Minute, 10*time.Minute, true, time.Minute
	if release {
		o.HealthTimeout = 5 * time.Minute
	}
	s.fleet = fleet.New(o)
	fleet.Get[*kustomizev1.Kustomization](s.fleet, s.fleet.FluxNamespace(), env).Spec.RetryInterval = nil
	for _, app := range names {
		_, err := s.registry.PushIndex(app, fleet.Tag(env, 0), "linux/amd64")
		s.must(err)
		if release {
			s.fleet.Files[s.fleet.File(env, app)] = strings.NewReplacer("APP", app, "NS", s.fleet.Namespace(env), "FLUX",
				s.fleet.FluxNamespace(), "IMAGE", s.fleet.Image(app, fleet.Tag(env, 0)), "MARKER", s.fleet.Marker(env, app, ""),
			).Replace(helmRelease)
		}
	}
	if release {
		maps.Copy(s.fleet.Files, chart)
	}
	s.populate()
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := node.Run(ctx, node.Options{Config: s.plane.Config}); err != nil && !errors.Is(err, context.Canceled) {
			b.Errorf("the kubelet stand-in: %v", err)
		}
	}()
	flux, err := realflux.Start(b.Context(), realflux.Options{
		Dir: os.Getenv("FLUX"), Env: s.plane, Data: b.TempDir(), CancelHealthChecks: gates,
	})
	b.Cleanup(func() {
		flux.Stop()
		cancel()
		<-done
	})
	s.must(err)
	s.until("the apps to run", func() error {
		now, err := s.look(names[len(names)-1], release)
		if err == nil && !now.calm {
			err = fmt.Errorf("%+v", now)
		}
		return err
	})
	return s
}

// allowForward opts in to fast-forward: the policy, the namespace, the component.
func (s *stage) allowForward() {
	s.b.Helper()
	ctx, ns := s.b.Context(), s.fleet.Namespace(env)
	folder := filepath.Join(s.plane.Root, "deploy", "kustomize", "components", "fast-forward")
	for _, args := range [][]string{
		{"apply", "--server-side", "-f", filepath.Join(folder, "role.yaml"), "-f", filepath.Join(folder, "admission.yaml")},
		{"label", "namespace", ns, "backstop.dev/fast-forward=enabled"},
		{"-n", ns, "apply", "--server-side", "-f", filepath.Join(folder, "namespace", "binding.yaml")},
		{"-n", ns, "patch", "rollbackpolicy", "apps", "--type=merge", "-p", `{"spec":{"fastForward":true}}`},
	} {
		_, err := s.plane.Kubectl(ctx, args...)
		s.must(err)
	}
}

// scene is how things stand in the cluster.
type scene struct {
	// artifact is the commit that the source has, image what the template names.
	artifact, image string
	// healthy means that the app runs on that image; released that the HelmRelease is ready, and calm that the
	// Kustomization is, on the artifact.
	healthy, released, calm, stalled bool
}

func (s *stage) look(app string, release bool) (scene, error) {
	var out scene
	ctx, ns, flux := s.b.Context(), s.fleet.Namespace(env), s.fleet.FluxNamespace()
	repo, k, d := &sourcev1.GitRepository{}, &kustomizev1.Kustomization{}, &appsv1.Deployment{}
	hr := &helmv2.HelmRelease{}
	get := []struct {
		o               client.Object
		namespace, name string
	}{{repo, flux, fleet.SourceName}, {k, flux, env}, {d, ns, app}, {hr, ns, app}}
	for _, g := range get {
		if g.o == client.Object(hr) && !release {
			continue
		}
		if err := s.client.Get(ctx, client.ObjectKey{Namespace: g.namespace, Name: g.name}, g.o); err != nil {
			return out, err
		}
	}
	if repo.Status.Artifact != nil {
		out.artifact = repo.Status.Artifact.Revision
	}
	out.image = d.Spec.Template.Spec.Containers[0].Image
	out.healthy = d.Status.ObservedGeneration == d.Generation && d.Status.UpdatedReplicas == 1 &&
		d.Status.Replicas == 1 && d.Status.AvailableReplicas == 1
	ready := func(conditions []metav1.Condition, generation, observed int64) bool {
		return generation == observed && apimeta.IsStatusConditionTrue(conditions, meta.ReadyCondition)
	}
	out.released = !release || ready(hr.Status.Conditions, hr.Generation, hr.Status.ObservedGeneration)
	out.stalled = apimeta.IsStatusConditionTrue(hr.Status.Conditions, meta.StalledCondition)
	out.calm = out.released && out.artifact != "" && k.Status.LastAppliedRevision == out.artifact &&
		ready(k.Status.Conditions, k.Generation, k.Status.ObservedGeneration)
	return out, nil
}

// round releases an image that cannot be pulled, and says in seconds from the push of the revert on when what was so.
func (s *stage) round(app string, release bool) map[string]float64 {
	s.b.Helper()
	good := s.fleet.Image(app, fleet.Tag(env, 0))
	before := len(s.pushes())
	warned := s.warnings()
	s.writeBad(app, fleet.Tag(env, 1))
	pushed := time.Time{}
	s.until("the revert to be pushed", func() error {
		if all := s.pushes(); len(all) > before {
			pushed = all[before]
			return nil
		}
		return errors.New("nothing was pushed")
	})
	s.must(s.alice.Pull(s.b.Context()))
	tip, err := s.alice.Git(s.b.Context(), "rev-parse", "HEAD")
	s.must(err)
	took, start := map[string]float64{}, time.Now()
	stalls := 0.0
	for len(took) < 4 || release && len(took) < 5 {
		now, err := s.look(app, release)
		s.must(err)
		fetched := strings.HasSuffix(now.artifact, tip)
		for what, so := range map[string]bool{
			"fetched": fetched, "applied": now.image == good, "healthy": now.image == good && now.healthy,
			"released": release && now.image == good && now.released, "ready": fetched && now.image == good && now.calm,
		} {
			if _, known := took[what]; so && !known {
				took[what] = time.Since(pushed).Seconds()
			}
		}
		if now.stalled {
			stalls = 1
		}
		if time.Since(start) > 12*time.Minute {
			s.b.Fatalf("it does not recover: %+v, %v", now, took)
		}
		time.Sleep(20 * time.Millisecond)
	}
	for what, count := range s.warnings() {
		if count -= warned[what]; count > 0 {
			s.b.Logf("%s: %d × %s", app, count, what)
		}
	}
	took["stalled"] = stalls
	s.settleDown(app, release)
	return took
}

// writeBad writes a tag that does not exist, as image automation does, and has the source fetched as a webhook does.
func (s *stage) writeBad(app, tag string) {
	s.b.Helper()
	ctx := s.b.Context()
	s.must(s.alice.Pull(ctx))
	p := &reflectorv1.ImagePolicy{}
	s.edit(p, s.fleet.Namespace(env), app, func() {
		p.Status.LatestRef = &reflectorv1.ImageRef{Name: s.fleet.Registry + "/" + app, Tag: tag}
	})
	file := s.fleet.File(env, app)
	s.must(s.alice.Write(map[string]string{
		file: strings.Replace(s.fleet.Files[file], fleet.Tag(env, 0), tag, 1),
	}))
	_, err := s.alice.Git(ctx, "commit", "--quiet", "-m", "Update "+app, file)
	s.must(err)
	_, err = s.alice.Git(ctx, "push", "--quiet", "origin", "HEAD:refs/heads/"+fleet.Branch)
	s.must(err)
	_, err = s.plane.Kubectl(ctx, "-n", s.fleet.FluxNamespace(), "annotate", "--overwrite", "gitrepository", fleet.SourceName,
		meta.ReconcileRequestAnnotation+"="+time.Now().Format(time.RFC3339Nano))
	s.must(err)
}

// settleDown waits until the Rollback has ended well, and reports whom it asked.
func (s *stage) settleDown(app string, release bool) {
	s.b.Helper()
	s.ended(app)
	var all v1alpha1.RollbackList
	s.must(s.client.List(s.b.Context(), &all, client.InNamespace(s.fleet.Namespace(env))))
	for i := range all.Items {
		if all.Items[i].Spec.Subject.Name == s.fleet.Image(app, fleet.Tag(env, 1)) {
			r := &all.Items[i].Status
			s.b.Logf("%s: asked %+v, set ahead of Flux %+v", app, r.Request.Asked, r.FastForward)
		}
	}
	s.until("all to be calm", func() error {
		now, err := s.look(app, release)
		if err == nil && !now.calm {
			err = fmt.Errorf("%+v", now)
		}
		return err
	})
}

// warnings counts the warnings that Flux's controllers gave, by reason and object.
func (s *stage) warnings() map[string]int {
	out := map[string]int{}
	for _, ns := range s.fleet.Namespaces() {
		var all corev1.EventList
		s.must(s.client.List(s.b.Context(), &all, client.InNamespace(ns)))
		for i := range all.Items {
			e := &all.Items[i]
			if e.Type == corev1.EventTypeWarning && strings.HasSuffix(e.Source.Component+e.ReportingController, "-controller") &&
				e.InvolvedObject.APIVersion != "v1" {
				first, _, _ := strings.Cut(e.Message, "\n")
				out[e.Reason+" "+e.InvolvedObject.Kind+": "+first] += int(max(e.Count, 1))
			}
		}
	}
	return out
}
