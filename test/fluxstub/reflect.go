package fluxstub

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"hash/adler32"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"

	reflectorv1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// tagStore holds the tags that were seen, by the name of the repository.
type tagStore struct {
	mu   sync.Mutex
	tags map[string][]string
}

func (t *tagStore) put(repository string, tags []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tags[repository] = tags
}

func (t *tagStore) get(repository string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.tags[repository]
}

func (s *stand) setUpImageRepository(mgr ctrl.Manager) error {
	return s.build(mgr, &reflectorv1.ImageRepository{}).Complete(reconcile.Func(s.imageRepository))
}

// imageRepository lists a repository's tags.
func (s *stand) imageRepository(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	repo := &reflectorv1.ImageRepository{}
	if err := s.load(ctx, req.NamespacedName, repo); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if repo.Spec.Suspend || repo.DeletionTimestamp != nil {
		return ctrl.Result{}, nil
	}
	was := repo.DeepCopy()
	fail := s.scan(ctx, repo)
	if fail != nil {
		condition(&repo.Status.Conditions, repo, no(meta.ReadyCondition, reflectorv1.ReadOperationFailedReason, fail.Error()))
	}
	repo.Status.ObservedGeneration = repo.Generation
	repo.Status.LastHandledReconcileAt = handled(repo)
	if err := s.save(ctx, was, repo, "image-reflector-controller"); err != nil {
		return ctrl.Result{}, err
	}
	if fail != nil {
		s.Log.Warn("scan", "object", req, "error", fail)
		return ctrl.Result{}, fail
	}
	return ctrl.Result{RequeueAfter: repo.Spec.Interval.Duration}, nil
}

func (s *stand) scan(ctx context.Context, repo *reflectorv1.ImageRepository) error {
	ref, options, err := s.registry(ctx, repo)
	if err != nil {
		return err
	}
	tags, err := remote.List(ref, append(options, remote.WithContext(ctx))...)
	if err != nil {
		return fmt.Errorf("scan failed: %w", err)
	}
	exclusions := repo.Spec.ExclusionList
	if exclusions == nil {
		exclusions = []string{`^.*\.sig$`}
	}
	for _, exclude := range exclusions {
		pattern, err := regexp.Compile(exclude)
		if err != nil {
			return fmt.Errorf("failed to compile regex %s: %w", exclude, err)
		}
		tags = slices.DeleteFunc(tags, pattern.MatchString)
	}
	slices.Sort(tags)
	s.tags.put(ref.String(), tags)
	latest := slices.Clone(tags)
	slices.Reverse(latest)
	repo.Status.CanonicalImageName = ref.String()
	repo.Status.ObservedExclusionList = exclusions
	revision := fmt.Sprint(adler32.Checksum([]byte(strings.Join(tags, "\n"))))
	last := repo.Status.LastScanResult
	if last == nil {
		last = &reflectorv1.ScanResult{}
	}
	repo.Status.LastScanResult = &reflectorv1.ScanResult{
		Revision:   revision,
		TagCount:   len(tags),
		ScanTime:   moment(last.ScanTime.Time, last.Revision != revision),
		LatestTags: latest[:min(len(latest), 10)],
	}
	message := fmt.Sprintf("successful scan: found %d tags with checksum %s", len(tags),
		repo.Status.LastScanResult.Revision)
	condition(&repo.Status.Conditions, repo, yes(meta.ReadyCondition, meta.SucceededReason, message))
	return nil
}

// registry says how an ImageRepository's registry is reached.
func (s *stand) registry(ctx context.Context, repo *reflectorv1.ImageRepository,
) (name.Repository, []remote.Option, error) {
	var options []name.Option
	if repo.Spec.Insecure {
		options = append(options, name.Insecure)
	}
	ref, err := name.NewRepository(repo.Spec.Image, options...)
	if err != nil {
		return name.Repository{}, nil, fmt.Errorf("failed parsing image %q: %w", repo.Spec.Image, err)
	}
	var how []remote.Option
	if repo.Spec.SecretRef != nil {
		auth, err := s.registryLogin(ctx, repo.Namespace, repo.Spec.SecretRef.Name, ref)
		if err != nil {
			return name.Repository{}, nil, err
		}
		how = append(how, remote.WithAuth(auth))
	}
	if repo.Spec.CertSecretRef != nil {
		var secret corev1.Secret
		key := client.ObjectKey{Namespace: repo.Namespace, Name: repo.Spec.CertSecretRef.Name}
		if err := s.seen.Get(ctx, key, &secret); err != nil {
			return name.Repository{}, nil, fmt.Errorf("read secret %s: %w", key, err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(secret.Data["ca.crt"])
		how = append(how, remote.WithTransport(&http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool,
			MinVersion: tls.VersionTLS12}}))
	}
	return ref, how, nil
}

// registryLogin reads the login for a repository's host out of a pull secret.
func (s *stand) registryLogin(ctx context.Context, namespace, secretName string, ref name.Repository,
) (authn.Authenticator, error) {
	var secret corev1.Secret
	key := client.ObjectKey{Namespace: namespace, Name: secretName}
	if err := s.seen.Get(ctx, key, &secret); err != nil {
		return nil, fmt.Errorf("read secret %s: %w", key, err)
	}
	var config struct {
		Auths map[string]authn.AuthConfig `json:"auths"`
	}
	if err := json.Unmarshal(secret.Data[corev1.DockerConfigJsonKey], &config); err != nil {
		return nil, errors.New("secret " + key.String() + " is no pull secret")
	}
	auth, ok := config.Auths[ref.RegistryStr()]
	if !ok {
		return nil, fmt.Errorf("secret %s has no login for %s", key, ref.RegistryStr())
	}
	return authn.FromConfig(auth), nil
}
