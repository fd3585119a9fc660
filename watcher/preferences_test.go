package watcher

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

func TestAnInitContainerThatMigratesIsKnownByNameImageOrCommand(t *testing.T) {
	for name, c := range map[string]struct {
		container corev1.Container
		want      bool
	}{
		"by its name":               {corev1.Container{Name: "db-migrate", Image: "app:1"}, true},
		"by a longer name":          {corev1.Container{Name: "run-migrations", Image: "app:1"}, true},
		"by its image":              {corev1.Container{Name: "prepare", Image: "docker.io/flyway/flyway:10"}, true},
		"by its command":            {corev1.Container{Name: "prepare", Image: "app:1", Command: []string{"alembic", "upgrade", "head"}}, true},
		"by an argument":            {corev1.Container{Name: "prepare", Image: "app:1", Args: []string{"rails", "db:migrate"}}, true},
		"by a script":               {corev1.Container{Name: "prepare", Args: []string{"-c", "python manage.py migrate --noinput"}}, true},
		"one that waits":            {corev1.Container{Name: "wait-for-db", Image: "busybox", Args: []string{"nc", "-z", "db", "5432"}}, false},
		"a name that only looks it": {corev1.Container{Name: "immigration-portal", Image: "app:1"}, false},
		"a registry's host":         {corev1.Container{Name: "a", Image: "migrate.example.com/app:1"}, false},
		"a tag":                     {corev1.Container{Name: "a", Image: "example.com/app:migrate"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := migrates(&c.container); got != c.want {
				t.Errorf("%v", got)
			}
		})
	}
}

func TestWorkloadsAndTheirNamespaceSayWhatMayBeDone(t *testing.T) {
	says := func(v string) map[string]string {
		return map[string]string{reconcile.RollbackAnnotation: v, "other": "x"}
	}
	client := fake.NewClientset(
		&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: "web", Annotations: says("ask")}},
		&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: "api"}, Spec: appsv1.DeploymentSpec{
			Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{InitContainers: []corev1.Container{{Name: "migrate"}}}},
		}},
		&appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: "db"}, Spec: appsv1.StatefulSetSpec{
			VolumeClaimTemplates: []corev1.PersistentVolumeClaim{{}},
		}},
		&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: "one", Annotations: says("never")}},
		&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: "mine",
			Annotations: map[string]string{"kustomize.toolkit.fluxcd.io/reconcile": "Disabled"}}},
		&appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: "once",
			Labels: map[string]string{"kustomize.toolkit.fluxcd.io/ssa": "IfNotPresent"}}},
		&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: "merged",
			Annotations: map[string]string{"kustomize.toolkit.fluxcd.io/ssa": "Merge"}}},
		&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: "helms", Labels: map[string]string{"helm.toolkit.fluxcd.io/name": "x"},
			Annotations: map[string]string{"kustomize.toolkit.fluxcd.io/reconcile": "disabled"}}},
	)
	pods := &Pods{Client: client, Namespace: func(string) map[string]string { return says("never") }}
	owners, err := pods.Owners(t.Context(), "prod", []v1alpha1.Workload{
		{Kind: "Deployment", Name: "web"}, {Kind: "Deployment", Name: "api"}, {Kind: "StatefulSet", Name: "db"},
		{Kind: "Pod", Name: "one"}, {Kind: "Pod", Name: "gone"}, {Kind: "Deployment", Name: "gone"},
		{Kind: "Deployment", Name: "mine"}, {Kind: "DaemonSet", Name: "once"}, {Kind: "Deployment", Name: "merged"},
		{Kind: "Deployment", Name: "helms"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]reconcile.Preference{
		reconcile.NamespacePreference: {Annotation: "never"},
		"Deployment/web":              {Annotation: "ask"},
		"Deployment/api": {
			Migrates: "Deployment/api has the init container migrate, which looks like a migration of a database"},
		"StatefulSet/db":  {Migrates: "StatefulSet/db keeps data in volumes of its own"},
		"Pod/one":         {Annotation: "never"},
		"Deployment/gone": {},
		// Flux is told not to touch these, by a mark that says nothing about what Helm makes.
		"Deployment/mine": {LeftAlone: true}, "DaemonSet/once": {LeftAlone: true}, "Deployment/merged": {}, "Deployment/helms": {},
	}
	if diff := cmp.Diff(want, owners.Preferences); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
