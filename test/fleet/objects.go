package fleet

import (
	automationv1 "github.com/fluxcd/image-automation-controller/api/v1"
	reflectorv1 "github.com/fluxcd/image-reflector-controller/api/v1"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// SourceName is the name of the GitRepository and of its Secret.
const SourceName = "fleet"

func (f *Fleet) source() []client.Object {
	repo := &sourcev1.GitRepository{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.FluxNamespace(), Name: SourceName},
		Spec: sourcev1.GitRepositorySpec{
			URL:       f.GitURL,
			Interval:  metav1.Duration{Duration: f.Interval},
			Reference: &sourcev1.GitRepositoryRef{Branch: Branch},
		},
	}
	if f.Username == "" {
		return []client.Object{repo}
	}
	repo.Spec.SecretRef = &meta.LocalObjectReference{Name: SourceName}
	return []client.Object{repo, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.FluxNamespace(), Name: SourceName},
		StringData: map[string]string{"username": f.Username, "password": f.Password},
	}}
}

func (f *Fleet) kustomization(env string) client.Object {
	return &kustomizev1.Kustomization{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.FluxNamespace(), Name: env},
		Spec: kustomizev1.KustomizationSpec{
			SourceRef:     kustomizev1.CrossNamespaceSourceReference{Kind: sourcev1.GitRepositoryKind, Name: SourceName},
			Path:          "./apps/" + env,
			Prune:         true,
			Interval:      metav1.Duration{Duration: f.ApplyInterval},
			RetryInterval: &metav1.Duration{Duration: f.Interval},
			Timeout:       &metav1.Duration{Duration: f.HealthTimeout},
			Wait:          f.Wait,
		},
	}
}

func (f *Fleet) automation(env string) client.Object {
	return &automationv1.ImageUpdateAutomation{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.Namespace(env), Name: env},
		Spec: automationv1.ImageUpdateAutomationSpec{
			SourceRef: automationv1.CrossNamespaceSourceReference{
				Kind: sourcev1.GitRepositoryKind, Name: SourceName, Namespace: f.FluxNamespace(),
			},
			Interval: metav1.Duration{Duration: f.Interval},
			GitSpec: &automationv1.GitSpec{
				Checkout: &automationv1.GitCheckoutSpec{Reference: sourcev1.GitRepositoryRef{Branch: Branch}},
				Commit: automationv1.CommitSpec{
					Author: automationv1.CommitUser{Name: Author, Email: "fluxcdbot@users.noreply.github.com"},
				},
				Push: &automationv1.PushSpec{Branch: Branch},
			},
			Update: &automationv1.UpdateStrategy{Strategy: automationv1.UpdateStrategySetters, Path: "./apps/" + env},
		},
	}
}

func (f *Fleet) imageRepository(env, app string) client.Object {
	return &reflectorv1.ImageRepository{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.Namespace(env), Name: app},
		Spec: reflectorv1.ImageRepositorySpec{
			Image:    f.repository(app),
			Interval: metav1.Duration{Duration: f.ScanInterval},
			Insecure: true,
		},
	}
}

func (f *Fleet) imagePolicy(env, app string) client.Object {
	return &reflectorv1.ImagePolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.Namespace(env), Name: app},
		Spec: reflectorv1.ImagePolicySpec{
			ImageRepositoryRef: meta.NamespacedObjectReference{Name: app},
			FilterTags:         &reflectorv1.TagFilter{Pattern: "^" + env + `-v.*-(?P<ts>[0-9]+)$`, Extract: "$ts"},
			Policy:             reflectorv1.ImagePolicyChoice{Numerical: &reflectorv1.NumericalPolicy{Order: "asc"}},
		},
	}
}
