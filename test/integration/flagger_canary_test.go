//go:build controllers

package integration

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile/trigger"
	"github.com/backstop-dev/backstop/test/fleet"
	"github.com/backstop-dev/backstop/test/node"
	"github.com/backstop-dev/backstop/test/process"
	"github.com/backstop-dev/backstop/test/testenv"
)

// startFlagger runs the Flagger in the folder that FLAGGER names: its binary, and its CRDs as crd.yaml.
func (w *World) startFlagger() {
	w.t.Helper()
	dir := os.Getenv("FLAGGER")
	if dir == "" {
		w.t.Fatal("FLAGGER names no folder with flagger and crd.yaml")
	}
	out, err := w.Env.Kubectl(w.t.Context(), "apply", "--server-side", "--force-conflicts", "-f", filepath.Join(dir, "crd.yaml"))
	if err != nil {
		w.t.Fatalf("apply Flagger's CRDs: %v: %s", err, out)
	}
	data := w.t.TempDir()
	kubeconfig := filepath.Join(data, "kubeconfig")
	w.must(testenv.WriteKubeconfig(w.Env.Config, kubeconfig))
	log, err := os.Create(filepath.Join(data, "flagger.log"))
	w.must(err)
	cmd := exec.Command(filepath.Join(dir, "flagger"), "-kubeconfig", kubeconfig, "-mesh-provider", "kubernetes",
		"-control-loop-interval", "5s", "-port", "0", "-log-level", "info")
	cmd.Dir, cmd.Stdout, cmd.Stderr = data, log, log
	p, err := process.Start("flagger", cmd)
	w.must(err)
	w.t.Cleanup(func() {
		p.Stop(10 * time.Second)
		log.Close()
		if said, err := os.ReadFile(log.Name()); err == nil && w.t.Failed() {
			w.t.Logf("flagger:\n%s", said)
		}
	})
}

// canaryOf has Flagger judge the updates of an app; gate is asked at each look.
func (w *World) canaryOf(env, app, gate string, deadline int64) {
	w.t.Helper()
	c := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"provider":                "kubernetes",
		"targetRef":               map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": app},
		"progressDeadlineSeconds": deadline,
		"service":                 map[string]any{"port": int64(80)},
		"analysis": map[string]any{"interval": "10s", "threshold": int64(2), "iterations": int64(2), "webhooks": []any{
			map[string]any{"name": "errors", "type": "rollout", "url": gate, "timeout": "5s"}}},
	}}}
	c.SetGroupVersionKind(trigger.Flagger)
	c.SetNamespace(w.Fleet.Namespace(env))
	c.SetName(app)
	w.must(w.Client.Create(w.t.Context(), c))
	w.canaryIs(env, app, "Initialized")
}

// canaryIs waits for a phase of a Canary.
func (w *World) canaryIs(env, app, phase string) {
	w.t.Helper()
	w.Until("Canary/"+app+" in "+env+" is "+phase, func() error {
		var c unstructured.Unstructured
		c.SetGroupVersionKind(trigger.Flagger)
		w.must(w.Client.Get(w.t.Context(), client.ObjectKey{Namespace: w.Fleet.Namespace(env), Name: app}, &c))
		if is, _, _ := unstructured.NestedString(c.Object, "status", "phase"); is != phase {
			return fmt.Errorf("it is %v", c.Object["status"])
		}
		return nil
	})
}

// What Flagger itself refuses goes back in Git: by itself where a check says no, and when a person says so where
// nothing tells that it was the image. Flagger takes the revert up without another analysis, and promotes what comes next.
func TestFlaggerRefusesAndTakesTheRevertUp(t *testing.T) {
	t.Parallel()
	const checked, blind, late = "checked", "blind", "late"
	w := world(t, quick, func(s *setup) {
		s.Fleet.Environments, s.Fleet.Apps, s.Fleet.Replicas = []string{checked, blind, late}, []string{"backend"}, 2
		s.Fleet.Interval = 5 * time.Second
		s.Vary = func(w *World) {
			for _, env := range s.Fleet.Environments {
				// Flagger scales what it judges.
				editManifest(w, env, "backend", "  replicas: 2\n", "")
			}
		}
	})
	w.startFlagger()
	var refuses atomic.Bool
	gate := httptest.NewServer(http.HandlerFunc(func(res http.ResponseWriter, req *http.Request) {
		said := map[string]int{"/" + checked: http.StatusForbidden, "/" + blind: http.StatusInternalServerError}[req.URL.Path]
		if said != 0 && refuses.Load() {
			http.Error(res, "61 % of the requests fail", said)
		}
	}))
	defer gate.Close()
	startSidecar(t, w, "--budget=10/1h")
	for _, env := range w.Fleet.Environments {
		w.auto(env, onCanaries)
	}
	w.Settle()
	for env, seconds := range map[string]int64{checked: 300, blind: 300, late: 15} {
		w.canaryOf(env, "backend", gate.URL+"/"+env, seconds)
	}
	refuses.Store(true)
	t.Run("each", func(t *testing.T) {
		for _, c := range []struct {
			env    string
			reason v1alpha1.CanaryReason
			does   node.Behaviour
			asks   bool
		}{
			{checked, v1alpha1.CanaryAnalysis, node.Behaviour{}, false},
			{blind, v1alpha1.CanaryMetrics, node.Behaviour{}, true},
			{late, v1alpha1.CanaryDeadline, node.Behaviour{NeverReady: true}, true},
		} {
			t.Run(c.env, func(t *testing.T) {
				t.Parallel()
				of := *w
				of.t = t
				of.flaggerRefuses(c.env, c.reason, c.does, c.asks)
			})
		}
	})

	refuses.Store(false)
	next := fleet.Tag(checked, 2)
	w.Publish("backend", next)
	w.wroteBack(checked, "backend", next)
	w.canaryIs(checked, "backend", "Succeeded")
	primary := w.deployment(checked, "backend-primary")
	if got := primary.Spec.Template.Spec.Containers[0].Image; got != w.Fleet.Image("backend", next) {
		t.Errorf("the primary runs %s", got)
	}
	if r := w.record(checked, w.Fleet.Image("backend", next)); r != nil {
		t.Errorf("a Rollback was opened for an update that is promoted: %+v", r.Status.Failures)
	}
}

func (w *World) flaggerRefuses(env string, why v1alpha1.CanaryReason, does node.Behaviour, asks bool) {
	w.t.Helper()
	good, tag := w.Fleet.Image("backend", fleet.Tag(env, 0)), fleet.Tag(env, 1)
	bad := w.publishThat("backend", tag, does)
	suspect := w.wroteBack(env, "backend", tag)
	r := w.until(env, bad, "is opened", func(s *v1alpha1.RollbackStatus) bool { return s.SeenBy(v1alpha1.TriggerCanary) })
	i := slices.IndexFunc(r.Status.Failures, func(f v1alpha1.Failure) bool { return f.Canary != nil })
	if f := r.Status.Failures[i].Canary; f.Reason != why || f.Promoted != good || f.PromotedBy != "Deployment/backend-primary" {
		w.t.Errorf("Flagger refuses it: %+v", f)
	}
	by := v1alpha1.VerdictByPolicy
	if asks {
		by = v1alpha1.VerdictByPerson
		w.until(env, bad, "asks", func(s *v1alpha1.RollbackStatus) bool { return s.Question != nil })
		w.answers(env, bad, v1alpha1.Approve)
	}
	r = w.ends(env, bad, v1alpha1.ResultVerified, "runs "+good)
	if r.Status.Suspect.Commit != suspect || r.Status.Verdict.Source != by {
		w.t.Errorf("blamed %s, %+v", r.Status.Suspect.Commit, r.Status.Verdict)
	}
	if said := w.File(w.Fleet.File(env, "backend")); !strings.Contains(said, good+" ") {
		w.t.Errorf("Git says\n%s", said)
	}
}
