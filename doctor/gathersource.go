package doctor

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	reflectorv1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	authv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/image"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/flux"
)

// serviceAccount is Backstop's.
const serviceAccount = "backstop"

// maxTags of a repository that are listed: one more than the image's own is enough.
const maxTags = 100

// source finds where a revert would be pushed, and begins a push.
func (g *Gatherer) source(ctx context.Context, f *Facts, w *Workload, line *flux.Line) error {
	if line.Origin == nil {
		w.NoSource, w.NoRights = line.NoOrigin, line.NoRights
		// The Secrets are known from the object all the same.
		return g.secrets(ctx, w, types.NamespacedName{Namespace: w.Chain.Source.Ref.Namespace, Name: w.Chain.Source.Ref.Name})
	}
	src := line.Origin.Source
	if p := f.policyOf(w, v1alpha1.TriggerImagePull); src.ReadOnly == "" &&
		(g.Forges == nil || p.Delivery == v1alpha1.DeliveryPush) {
		src.ReadOnly = src.Aside
	}
	w.Source = &Source{
		Ref:    v1alpha1.ObjectRef{Kind: "GitRepository", Namespace: src.Pushes().Namespace, Name: src.Pushes().Name},
		Branch: src.Branch, ReadOnly: src.ReadOnly, Lend: src.Lend, NoKey: src.NoKey, NoKeyUnread: src.NoKeyUnread,
		Verified: src.Verified, Signed: src.Signing != nil, Aside: src.Aside,
	}
	// A key that cannot be used has a check of its own.
	if src.NoKey != "" && src.ReadOnly == src.NoKey {
		src.ReadOnly, w.Source.ReadOnly = "", ""
	}
	for _, name := range slices.Compact([]types.NamespacedName{src.Name, src.Pushes()}) {
		if err := g.secrets(ctx, w, name); err != nil {
			return err
		}
	}
	for _, name := range f.policyOf(w, v1alpha1.TriggerImagePull).PullRequest.Secrets {
		g.need(ctx, w, Secret{Namespace: name.Namespace, Name: name.Name, For: "pull requests (spec.pullRequest.secretRef)",
			Holds: HoldsGitLogin})
	}
	// A missing key has a check of its own.
	if src.Verified && src.Signing == nil {
		src.Verified = false
	}
	g.delivery(ctx, f, w, src)
	if src.ReadOnly == "" {
		pushed := ask(&g.once, "push "+src.Name.String()+" "+src.Pushes().String()+" "+src.Branch, func() [2]string {
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
		g.need(ctx, w, Secret{Namespace: name.Namespace, Name: ref.Name, For: "GitRepository " + name.String(),
			Holds: HoldsGitLogin})
		if w.Source != nil {
			w.Source.Secret = name.Namespace + "/" + ref.Name
		}
	}
	if ref := repo.Spec.ProxySecretRef; ref != nil && err == nil {
		g.need(ctx, w, Secret{Namespace: name.Namespace, Name: ref.Name, For: "the proxy of GitRepository " + name.String(),
			Holds: HoldsProxy})
	}
	for _, a := range w.Chain.Writers {
		if git := a.Object.Spec.GitSpec; git != nil && git.Commit.SigningKey != nil && a.Elsewhere == "" {
			g.need(ctx, w, Secret{Namespace: a.Object.Namespace, Name: git.Commit.SigningKey.SecretRef.Name,
				For: "the key of " + a.Ref.String(), Holds: HoldsKey})
		}
	}
	return nil
}

// need adds a Secret that Backstop has to read, once.
func (g *Gatherer) need(ctx context.Context, w *Workload, s Secret) {
	for _, have := range w.Secrets {
		if have.Namespace == s.Namespace && have.Name == s.Name {
			return
		}
	}
	s.Allowed = g.may(ctx, "get", "secrets", s.Namespace, s.Name)
	// Whether it is there shows to who may read it; others learn it from Backstop's own rights alone.
	s.Missing = ask(&g.once, fmt.Sprintln("secret", s.Namespace, s.Name), func() bool {
		err := g.Client.Get(ctx, types.NamespacedName{Namespace: s.Namespace, Name: s.Name}, &corev1.Secret{})
		return apierrors.IsNotFound(err)
	})
	w.Secrets = append(w.Secrets, s)
}

// may asks the API server what Backstop's ServiceAccount may; nil where the user may not ask.
func (g *Gatherer) may(ctx context.Context, verb, resource, namespace, name string) *bool {
	return g.allowed(ctx, authv1.ResourceAttributes{Namespace: namespace, Verb: verb, Resource: resource, Name: name})
}

// allowed is may for a resource of any API group.
func (g *Gatherer) allowed(ctx context.Context, a authv1.ResourceAttributes) *bool {
	key := fmt.Sprintln("may", a.Verb, a.Group, a.Resource, a.Namespace, a.Name)
	return ask(&g.once, key, func() *bool {
		user := "system:serviceaccount:" + g.Home + ":" + serviceAccount
		review := &authv1.SubjectAccessReview{Spec: authv1.SubjectAccessReviewSpec{
			User:               user,
			Groups:             []string{"system:serviceaccounts", "system:serviceaccounts:" + g.Home, "system:authenticated"},
			ResourceAttributes: &a,
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
		for _, s := range []struct {
			ref   *meta.LocalObjectReference
			holds Holds
		}{
			{scan.Spec.SecretRef, HoldsRegistryLogin}, {scan.Spec.CertSecretRef, HoldsCertificates},
			{scan.Spec.ProxySecretRef, HoldsProxy},
		} {
			if s.ref != nil {
				g.need(ctx, w, Secret{Namespace: scan.Namespace, Name: s.ref.Name, For: by, Holds: s.holds})
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
			access = access.Then(g.Logins(ctx, image))
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
func scanOf(w *Workload, namespace, ref string) *reflectorv1.ImageRepository {
	var found *reflectorv1.ImageRepository
	for i := range w.Chain.Scans {
		r := &w.Chain.Scans[i]
		if image.SameRepository(r.Spec.Image, ref) &&
			(found == nil || r.Namespace == namespace && found.Namespace != namespace) {
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
