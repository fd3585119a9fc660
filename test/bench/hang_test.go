package bench

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	appsv1 "k8s.io/api/apps/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
)

// neighbour is another tenant of the cluster, whose Git server takes requests and answers none.
type neighbour struct {
	*stage
	// waits counts the requests that hang.
	waits atomic.Int64
}

// newNeighbour deploys a fleet of n apps whose images do not exist.
func newNeighbour(s *stage, n int) *neighbour {
	s.b.Helper()
	out := &neighbour{}
	end := make(chan struct{})
	git := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		out.waits.Add(1)
		select {
		case <-r.Context().Done():
		case <-end:
		}
	}))
	s.b.Cleanup(func() {
		close(end)
		git.Close()
	})
	o := fleet.Options{Name: "neighbour", GitURL: git.URL + "/fleet.git", Registry: s.registry.Host(), Environments: []string{env}}
	for i := range n {
		o.Apps = append(o.Apps, fmt.Sprintf("other-%03d", i))
	}
	out.stage = &stage{b: s.b, plane: s.plane, client: s.client, registry: s.registry, fleet: fleet.New(o)}
	s.must(out.fleet.Create(s.b.Context(), s.client))
	out.create(&v1alpha1.RollbackPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: out.fleet.Namespace(env), Name: "apps"},
		Spec: v1alpha1.RollbackPolicySpec{
			Triggers: []v1alpha1.PolicyTrigger{{Type: v1alpha1.TriggerImagePull, Mode: v1alpha1.ModeAuto, GracePeriod: &metav1.Duration{}}},
			Approval: v1alpha1.Approval{Timeout: metav1.Duration{Duration: time.Hour}},
			Delivery: v1alpha1.DeliveryPush, Lift: v1alpha1.LiftNewerImage,
			VerifyTimeout: metav1.Duration{Duration: 15 * time.Minute},
		},
	})
	out.kubelet = newKubelet(out.stage)
	out.applied()
	return out
}

// apply does what Flux did while the Git server still answered.
func (n *neighbour) applied() {
	n.b.Helper()
	var inventory []kustomizev1.ResourceRef
	for _, app := range n.fleet.Apps {
		_, err := n.registry.PushIndex(app, fleet.Tag(env, 0), "linux/amd64")
		n.must(err)
		d := &appsv1.Deployment{}
		text := strings.Replace(n.fleet.Deployment(env, app), fleet.Tag(env, 0), fleet.Tag(env, 1), 1)
		n.must(yaml.Unmarshal([]byte(text), d))
		d.Labels["kustomize.toolkit.fluxcd.io/name"], d.Labels["kustomize.toolkit.fluxcd.io/namespace"] = env, n.fleet.FluxNamespace()
		d.Spec.Template.Spec.NodeName = "node-1"
		n.create(d)
		inventory = append(inventory, kustomizev1.ResourceRef{ID: d.Namespace + "_" + app + "_apps_Deployment", Version: "v1"})
	}
	revision := fleet.Branch + "@sha1:" + strings.Repeat("1", 40)
	repo, k := &sourcev1.GitRepository{}, &kustomizev1.Kustomization{}
	n.edit(repo, n.fleet.FluxNamespace(), fleet.SourceName, func() {
		repo.Status.Artifact = &meta.Artifact{Path: "fleet.tar.gz", URL: "http://source/fleet.tar.gz", Revision: revision,
			Digest: "sha256:" + strings.Repeat("0", 64), LastUpdateTime: metav1.Now()}
	})
	n.edit(k, n.fleet.FluxNamespace(), env, func() {
		k.Status.Inventory = &kustomizev1.ResourceInventory{Entries: inventory}
		k.Status.LastAppliedRevision, k.Status.LastAttemptedRevision = revision, revision
		apimeta.SetStatusCondition(&k.Status.Conditions, metav1.Condition{Type: meta.ReadyCondition, Status: metav1.ConditionTrue,
			Reason: meta.ReconciliationSucceededReason, Message: "Applied revision: " + revision})
	})
}

func BenchmarkBesideAHangingGitServer(b *testing.B) {
	s := newStage(b, 10+warmUp)
	other := newNeighbour(s, 100)
	s.start(s.release("sidecar"))
	for b.Loop() {
		for _, app := range other.fleet.Apps {
			_, err := s.kubelet.fail(b.Context(), other.kubelet.await(b, app))
			s.must(err)
		}
		s.until("the neighbour's Git server to be asked", func() error {
			if other.waits.Load() == 0 {
				return fmt.Errorf("it is not")
			}
			return nil
		})
		took := s.oneByOne()
		slices.Sort(took)
		b.ReportMetric(took[len(took)/2].Seconds(), "p50-s")
		b.ReportMetric(took[len(took)-1].Seconds(), "max-s")
		b.ReportMetric(float64(other.waits.Load()), "hang")
	}
	load(b)
}
