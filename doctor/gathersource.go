package doctor

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	reflectorv1 "github.com/fluxcd/image-reflector-controller/api/v1"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	authv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/flux"
)

// serviceAccount is Backstop's.
const serviceAccount = "backstop"

// maxTags of a repository that are listed: one more than the image's own is enough.
const maxTags = 100

// source finds where a revert would be pushed, and begins a push.
func (g *Gatherer) source(ctx context.Context, f *Facts, w *Workload) error {
	with := f.policyOf(w, v1alpha1.TriggerImagePull).Source
	origin, err := g.Flux.Origin(ctx, f.Namespace, w.Workload, with)
	why, refused := reconcile.AsRefusal(err)
	switch {
	case refused || apierrors.IsNotFound(err):
		w.NoSource = cmp.Or(why, fmt.Sprint(err))
		// The Secrets are known from the object all the same.
		return g.secrets(ctx, w, types.NamespacedName{Namespace: w.Chain.Source.Ref.Namespace, Name: w.Chain.Source.Ref.Name})
	case err != nil:
		return err
	}
	src := origin.Source
	w.Source = &Source{
		Ref:    v1alpha1.ObjectRef{Kind: "GitRepository", Namespace: src.Name.Namespace, Name: src.Name.Name},
		Branch: src.Branch, ReadOnly: src.ReadOnly, Verified: src.Verified, Signed: src.Signing != nil,
	}
	if err := g.secrets(ctx, w, src.Name); err != nil {
		return err
	}
	// A missing key has a check of its own.
	if src.Verified && src.Signing == nil {
		src.Verified = false
	}
	if src.ReadOnly == "" {
		pushed := ask(&g.once, "push "+src.Name.String()+" "+src.Branch, func() [2]string {
			err := g.Git.Writable(ctx, src)
			why, refused := reconcile.AsRefusal(err)
			switch {
			case refused:
				return [2]string{why}
			case err != nil:
				return [2]string{"", err.Error()}
			}
			return [2]string{}
		})
		w.Source.Refused, w.Source.Unknown = pushed[0], pushed[1]
	}
	return ctx.Err()
}

// secrets lists the Secrets of a GitRepository, of the key that signs, and of the ImageRepositories.
func (g *Gatherer) secrets(ctx context.Context, w *Workload, name types.NamespacedName) error {
	var repo sourcev1.GitRepository
	err := g.Client.Get(ctx, name, &repo)
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err) {
		return fmt.Errorf("read GitRepository %s: %w", name, err)
	}
	if ref := repo.Spec.SecretRef; ref != nil && err == nil {
		g.need(ctx, w, name.Namespace, ref.Name, "GitRepository "+name.String())
		if w.Source != nil {
			w.Source.Secret = name.Namespace + "/" + ref.Name
		}
	}
	if ref := repo.Spec.ProxySecretRef; ref != nil && err == nil {
		g.need(ctx, w, name.Namespace, ref.Name, "the proxy of GitRepository "+name.String())
	}
	for _, a := range w.Chain.Writers {
		if git := a.Object.Spec.GitSpec; git != nil && git.Commit.SigningKey != nil && a.Elsewhere == "" {
			g.need(ctx, w, a.Object.Namespace, git.Commit.SigningKey.SecretRef.Name, "the key of "+a.Ref.String())
		}
	}
	return nil
}

// need adds a Secret that Backstop has to read, once.
func (g *Gatherer) need(ctx context.Context, w *Workload, namespace, name, purpose string) {
	for _, s := range w.Secrets {
		if s.Namespace == namespace && s.Name == name {
			return
		}
	}
	w.Secrets = append(w.Secrets, Secret{Namespace: namespace, Name: name, For: purpose,
		Allowed: g.may(ctx, "get", "secrets", namespace, name)})
}

// may asks the API server what Backstop's ServiceAccount may; nil where the user may not ask.
func (g *Gatherer) may(ctx context.Context, verb, resource, namespace, name string) *bool {
	key := fmt.Sprintln("may", verb, resource, namespace, name)
	return ask(&g.once, key, func() *bool {
		user := "system:serviceaccount:" + g.Home + ":" + serviceAccount
		review := &authv1.SubjectAccessReview{Spec: authv1.SubjectAccessReviewSpec{
			User:   user,
			Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + g.Home, "system:authenticated"},
			ResourceAttributes: &authv1.ResourceAttributes{
				Namespace: namespace, Verb: verb, Resource: resource, Name: name,
			},
		}}
		if err := g.Client.Create(ctx, review); err != nil {
			return nil
		}
		return &review.Status.Allowed
	})
}

// image asks the registry for an image that runs.
func (g *Gatherer) image(ctx context.Context, namespace string, w *Workload, image string) (Image, error) {
	scan := scanOf(w, namespace, image)
	if scan != nil {
		by := "ImageRepository " + scan.Namespace + "/" + scan.Name
		for _, ref := range []*meta.LocalObjectReference{
			scan.Spec.SecretRef, scan.Spec.CertSecretRef, scan.Spec.ProxySecretRef,
		} {
			if ref != nil {
				g.need(ctx, w, scan.Namespace, ref.Name, by)
			}
		}
	}
	type found struct {
		image Image
		err   error
	}
	answer := ask(&g.once, "image "+namespace+" "+image, func() found {
		access, err := g.Flux.Access(ctx, namespace, image, "")
		why, refused := reconcile.AsRefusal(err)
		if err != nil && !refused {
			return found{err: err}
		}
		out := Image{Image: image, Missing: cmp.Or(why, access.Missing)}
		if out.Missing != "" {
			// Backstop does not have these: they only count where the cluster's could not be read.
			access.DockerConfigs = append(access.DockerConfigs, g.Logins(ctx, image).DockerConfigs...)
		}
		out.Proof = g.Registry.Prove(ctx, reconcile.Question{Image: image, Access: access})
		if out.Proof.Finding == reconcile.FindingPresent {
			out.Other, out.Unlisted = g.other(ctx, image, access)
		}
		return found{image: out, err: ctx.Err()}
	})
	out := answer.image
	if scan != nil {
		out.Scan = scan.Namespace + "/" + scan.Name
	}
	return out, answer.err
}

// scanOf is the ImageRepository by which an image is asked for: the one of the workload's namespace, else the first.
func scanOf(w *Workload, namespace, image string) *reflectorv1.ImageRepository {
	var found *reflectorv1.ImageRepository
	for i := range w.Chain.Scans {
		r := &w.Chain.Scans[i]
		if flux.SameImage(r.Spec.Image, image) && (found == nil || r.Namespace == namespace && found.Namespace != namespace) {
			found = r
		}
	}
	return found
}

// other finds another tag of an image's repository that this client sees.
func (g *Gatherer) other(ctx context.Context, image string, access reconcile.Access) (tag, unlisted string) {
	repository, _, _ := strings.Cut(image, "@")
	own := ""
	if i := strings.LastIndexByte(repository, ':'); i > strings.LastIndexByte(repository, '/') {
		repository, own = repository[:i], repository[i+1:]
	}
	tags, err := g.Registry.Tags(ctx, repository, access, maxTags)
	if err != nil {
		return "", err.Error()
	}
	for _, t := range tags {
		if t != own {
			return t, ""
		}
	}
	return "", ""
}

// dependencies reads what the Kustomization waits for.
func (g *Gatherer) dependencies(ctx context.Context, w *Workload) error {
	k := w.Chain.Kustomization
	for _, d := range k.Spec.DependsOn {
		ref := v1alpha1.ObjectRef{Kind: "Kustomization", Namespace: cmp.Or(d.Namespace, k.Namespace), Name: d.Name}
		var on kustomizev1.Kustomization
		err := g.Client.Get(ctx, types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}, &on)
		dep := Dependency{Ref: ref}
		switch {
		case apierrors.IsNotFound(err):
			dep.Why = "it does not exist"
		case apierrors.IsForbidden(err):
			dep.Why = "you may not read it"
		case err != nil:
			return fmt.Errorf("read %s: %w", ref, err)
		default:
			if _, message, not := flux.Not(on.Status.Conditions); not {
				dep.Why = message
			} else if on.Spec.Suspend {
				dep.Why = "it is suspended"
			}
			dep.Wait, _ = flux.HealthWait(&on)
		}
		w.DependsOn = append(w.DependsOn, dep)
	}
	return nil
}

// refused gives the words with which the Git server refused a push, to image automation or to Backstop.
func (g *Gatherer) refused(ctx context.Context, namespace string, w *Workload) string {
	protected := func(words string) bool {
		lower := strings.ToLower(words)
		return strings.Contains(lower, "protected") || strings.Contains(lower, "declined")
	}
	for _, a := range w.Chain.Writers {
		if _, message, not := flux.Not(a.Object.Status.Conditions); not && protected(message) && a.Elsewhere == "" {
			return message
		}
	}
	list := ask(&g.once, "rollbacks "+namespace, func() *v1alpha1.RollbackList {
		var list v1alpha1.RollbackList
		// Without Backstop's records there are no refusals to tell of.
		_ = g.Client.List(ctx, &list, client.InNamespace(namespace))
		return &list
	})
	for i := range list.Items {
		s := &list.Items[i].Status
		for _, f := range s.Failures {
			if f.Workload.Kind != w.Kind || f.Workload.Name != w.Name {
				continue
			}
			if s.Waiting != nil && protected(s.Waiting.Why) {
				return s.Waiting.Why
			}
			if s.Outcome != nil && s.Outcome.Result == v1alpha1.ResultFailed && protected(s.Outcome.Sentence) {
				return s.Outcome.Sentence
			}
		}
	}
	return ""
}
