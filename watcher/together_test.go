package watcher

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

func TestManyWorkloadsAreReadAtOnceAndFewOneByOne(t *testing.T) {
	for name, tt := range map[string]struct {
		deployments, stateful int
		want                  map[string]int
	}{
		"few":          {3, 0, map[string]int{"get deployments": 4}},
		"many":         {mostGets + 1, 0, map[string]int{"list deployments": 1, "get deployments": 1}},
		"many of both": {mostGets + 1, mostGets + 1, map[string]int{"list deployments": 1, "get deployments": 1, "list statefulsets": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			client := fake.NewClientset()
			of := []v1alpha1.Workload{{Kind: "Deployment", Name: "gone"}}
			labels := map[string]map[string]string{}
			make := func(kind string, n int) {
				for i := range n {
					meta := metav1.ObjectMeta{Namespace: "prod", Name: fmt.Sprintf("app-%d", i), Labels: map[string]string{"n": fmt.Sprint(kind, i)}}
					var err error
					if kind == "Deployment" {
						_, err = client.AppsV1().Deployments("prod").Create(t.Context(), &appsv1.Deployment{ObjectMeta: meta}, metav1.CreateOptions{})
					} else {
						_, err = client.AppsV1().StatefulSets("prod").Create(t.Context(), &appsv1.StatefulSet{ObjectMeta: meta}, metav1.CreateOptions{})
					}
					if err != nil {
						t.Fatal(err)
					}
					w := v1alpha1.Workload{Kind: kind, Name: meta.Name}
					of, labels[w.String()] = append(of, w), meta.Labels
				}
			}
			make("Deployment", tt.deployments)
			make("StatefulSet", tt.stateful)
			client.ClearActions()
			owners, err := (&Pods{Client: client}).Owners(t.Context(), "prod", of)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(labels, owners.Labels); diff != "" {
				t.Errorf("labels (-want +got):\n%s", diff)
			}
			asked := map[string]int{}
			for _, a := range client.Actions() {
				asked[a.GetVerb()+" "+a.GetResource().Resource]++
			}
			if diff := cmp.Diff(tt.want, asked); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}
