package fluxstub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"github.com/Masterminds/semver/v3"
	reflectorv1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

func (s *stand) setUpImagePolicy(mgr ctrl.Manager) error {
	policies := func(ctx context.Context, repo client.Object) []reconcile.Request {
		var list reflectorv1.ImagePolicyList
		if err := mgr.GetClient().List(ctx, &list); err != nil {
			return nil
		}
		var woken []reconcile.Request
		for _, p := range list.Items {
			if repositoryOf(&p) == client.ObjectKeyFromObject(repo) {
				woken = append(woken, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&p)})
			}
		}
		return woken
	}
	scanned := changed(func(repo *reflectorv1.ImageRepository) string {
		if repo.Status.LastScanResult == nil {
			return ""
		}
		return repo.Status.LastScanResult.Revision
	})
	return s.build(mgr, &reflectorv1.ImagePolicy{}).
		Watches(&reflectorv1.ImageRepository{}, handler.EnqueueRequestsFromMapFunc(policies),
			builder.WithPredicates(scanned)).
		Complete(reconcile.Func(s.imagePolicy))
}

// repositoryOf is the ImageRepository of a policy.
func repositoryOf(p *reflectorv1.ImagePolicy) client.ObjectKey {
	key := client.ObjectKey{Namespace: p.Spec.ImageRepositoryRef.Namespace, Name: p.Spec.ImageRepositoryRef.Name}
	if key.Namespace == "" {
		key.Namespace = p.Namespace
	}
	return key
}

// imagePolicy selects a tag. What was selected stays when nothing can be.
func (s *stand) imagePolicy(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	p := &reflectorv1.ImagePolicy{}
	if err := s.load(ctx, req.NamespacedName, p); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if p.Spec.Suspend || p.DeletionTimestamp != nil {
		return ctrl.Result{}, nil
	}
	was := p.DeepCopy()
	if err := s.choose(ctx, p); err != nil {
		condition(&p.Status.Conditions, p, no(meta.ReadyCondition, "Failure", err.Error()))
		s.Log.Warn("policy", "object", req, "error", err)
	} else if was.Status.LatestRef == nil || *was.Status.LatestRef != *p.Status.LatestRef {
		s.Log.Info("policy", "object", req, "selected", p.Status.LatestRef.String())
	}
	p.Status.ObservedGeneration = p.Generation
	p.Status.LastHandledReconcileAt = handled(p)
	return ctrl.Result{RequeueAfter: p.GetInterval()}, s.save(ctx, was, p, "image-reflector-controller")
}

func (s *stand) choose(ctx context.Context, p *reflectorv1.ImagePolicy) error {
	var repo reflectorv1.ImageRepository
	if err := s.seen.Get(ctx, repositoryOf(p), &repo); err != nil {
		return fmt.Errorf("failed to get the referred ImageRepository: %w", err)
	}
	if repo.Status.LastScanResult == nil {
		return errors.New("referenced ImageRepository has not been scanned yet")
	}
	tag, err := latest(s.tags.get(repo.Status.CanonicalImageName), p.Spec)
	if err != nil {
		return err
	}
	ref := reflectorv1.ImageRef{Name: repo.Spec.Image, Tag: tag}
	old := p.Status.LatestRef
	switch p.GetDigestReflectionPolicy() {
	case reflectorv1.ReflectNever:
	case reflectorv1.ReflectIfNotPresent:
		if old != nil && old.Name == ref.Name && old.Tag == ref.Tag && old.Digest != "" {
			ref.Digest = old.Digest
			break
		}
		fallthrough
	default:
		if ref.Digest, err = s.digest(ctx, &repo, tag); err != nil {
			return err
		}
	}
	if old != nil && *old != ref {
		p.Status.ObservedPreviousRef = old
	}
	p.Status.LatestRef = &ref
	message := fmt.Sprintf("Latest image tag for %s resolved to %s", ref.Name, ref.Tag)
	if ref.Digest != "" {
		message += " with digest " + ref.Digest
	}
	if previous := p.Status.ObservedPreviousRef; previous != nil {
		message += " (previously " + previous.String() + ")"
	}
	condition(&p.Status.Conditions, p, yes(meta.ReadyCondition, meta.SucceededReason, message))
	return nil
}

func (s *stand) digest(ctx context.Context, repo *reflectorv1.ImageRepository, tag string) (string, error) {
	ref, options, err := s.registry(ctx, repo)
	if err != nil {
		return "", err
	}
	head, err := remote.Head(ref.Tag(tag), append(options, remote.WithContext(ctx))...)
	if err != nil {
		return "", fmt.Errorf("failed fetching descriptor for %q: %w", ref.Tag(tag), err)
	}
	return head.Digest.String(), nil
}

// latest selects one of the tags.
func latest(tags []string, spec reflectorv1.ImagePolicySpec) (string, error) {
	// What is compared is what filterTags extracts; what is selected is the tag it was extracted from.
	from := map[string]string{}
	var compared []string
	for _, tag := range tags {
		if spec.FilterTags == nil {
			from[tag] = tag
			compared = append(compared, tag)
			continue
		}
		pattern, err := regexp.Compile(spec.FilterTags.Pattern)
		if err != nil {
			return "", fmt.Errorf("invalid regular expression pattern '%s': %w", spec.FilterTags.Pattern, err)
		}
		match := pattern.FindStringSubmatchIndex(tag)
		if match == nil {
			continue
		}
		value := tag
		if spec.FilterTags.Extract != "" {
			value = string(pattern.ExpandString(nil, spec.FilterTags.Extract, tag, match))
		}
		if _, ok := from[value]; !ok {
			compared = append(compared, value)
		}
		from[value] = tag
	}
	if len(compared) == 0 {
		return "", errors.New("version list argument cannot be empty")
	}
	value, err := best(compared, spec.Policy)
	return from[value], err
}

// best is the last value in the order of a policy.
func best(all []string, policy reflectorv1.ImagePolicyChoice) (string, error) {
	switch {
	case policy.SemVer != nil:
		within, err := semver.NewConstraint(policy.SemVer.Range)
		if err != nil {
			return "", fmt.Errorf("unable to parse range '%s': %w", policy.SemVer.Range, err)
		}
		var found *semver.Version
		for _, text := range all {
			if v, err := semver.NewVersion(text); err == nil && within.Check(v) && (found == nil || v.GreaterThan(found)) {
				found = v
			}
		}
		if found == nil {
			return "", fmt.Errorf("unable to determine latest version from provided list")
		}
		return found.Original(), nil
	case policy.Numerical != nil:
		numbers := map[string]float64{}
		for _, text := range all {
			n, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return "", fmt.Errorf("failed to parse invalid numeric value '%s'", text)
			}
			numbers[text] = n
		}
		return last(all, policy.Numerical.Order, func(a, b string) int { return cmp.Compare(numbers[a], numbers[b]) }), nil
	case policy.Alphabetical != nil:
		return last(all, policy.Alphabetical.Order, cmp.Compare[string]), nil
	}
	return "", errors.New("given ImagePolicyChoice object is invalid")
}

func last(all []string, order string, compare func(a, b string) int) string {
	if order == "desc" {
		return slices.MinFunc(all, compare)
	}
	return slices.MaxFunc(all, compare)
}
