package trace

import (
	"errors"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

func TestWhatAWorkloadDoesNotHaveIsMissing(t *testing.T) {
	cl := fake.NewClientBuilder().WithObjects(&appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "backend"},
		Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Name: "backend", Image: "ghcr.io/acme/backend:v1"}},
		}}},
	}).Build()
	g := &Gatherer{Client: cl, Now: time.Now}
	for name, tt := range map[string]struct {
		q    Question
		says string
	}{
		"a workload":           {Question{Workload: v1alpha1.Workload{Kind: "Deployment", Name: "front"}}, "no Deployment/front in namespace shop"},
		"a container":          {Question{Container: "proxy"}, "no such container or image: it has backend (ghcr.io/acme/backend:v1)"},
		"another's repository": {Question{Image: "ghcr.io/acme/front:v1"}, "no such container or image: it has backend (ghcr.io/acme/backend:v1)"},
	} {
		t.Run(name, func(t *testing.T) {
			tt.q.Namespace = "shop"
			if tt.q.Workload.Name == "" {
				tt.q.Workload = v1alpha1.Workload{Kind: "Deployment", Name: "backend"}
			}
			_, err := g.Gather(t.Context(), tt.q)
			if missing := (*Missing)(nil); !errors.As(err, &missing) || !strings.HasSuffix(err.Error(), tt.says) {
				t.Errorf("it says %v, want …%s as what is missing", err, tt.says)
			}
		})
	}
}
