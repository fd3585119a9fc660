package fluxstub

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"sync"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

func (s *stand) setUpSource(mgr ctrl.Manager) error {
	return s.build(mgr, &sourcev1.GitRepository{}).Complete(reconcile.Func(s.source))
}

// source fetches a GitRepository and writes its artifact's revision.
func (s *stand) source(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var repo sourcev1.GitRepository
	if err := s.load(ctx, req.NamespacedName, &repo); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if repo.Spec.Suspend || repo.DeletionTimestamp != nil {
		return ctrl.Result{}, nil
	}
	was := repo.DeepCopy()
	fail := s.fetch(ctx, &repo)
	repo.Status.ObservedGeneration = repo.Generation
	repo.Status.LastHandledReconcileAt = handled(&repo)
	if err := s.save(ctx, was, &repo, "source-controller"); err != nil {
		return ctrl.Result{}, err
	}
	if fail != nil {
		s.Log.Warn("source", "object", req, "error", fail)
		return ctrl.Result{}, fail
	}
	if repo.Status.Artifact.Revision != revisionOf(was) {
		s.Log.Info("source", "object", req, "revision", repo.Status.Artifact.Revision)
	}
	return ctrl.Result{RequeueAfter: repo.Spec.Interval.Duration}, nil
}

// revisionOf is the revision of a GitRepository's artifact; empty without one.
func revisionOf(repo *sourcev1.GitRepository) string {
	if repo.Status.Artifact == nil {
		return ""
	}
	return repo.Status.Artifact.Revision
}

// fetch brings the mirror up to date and the status with it. A revision that
// cannot be had or trusted leaves the artifact as it was.
func (s *stand) fetch(ctx context.Context, repo *sourcev1.GitRepository) error {
	conditions := &repo.Status.Conditions
	refuse := func(kind, reason string, err error) error {
		c := no(kind, reason, err.Error())
		if kind == sourcev1.FetchFailedCondition {
			c.Status = metav1.ConditionTrue
		}
		condition(conditions, repo, c)
		condition(conditions, repo, no(meta.ReadyCondition, reason, err.Error()))
		return err
	}
	dir, revision, err := s.tip(ctx, repo)
	if err != nil {
		return refuse(sourcev1.FetchFailedCondition, sourcev1.GitOperationFailedReason, err)
	}
	apimeta.RemoveStatusCondition(conditions, sourcev1.FetchFailedCondition)
	commit := commitOf(revision)
	r := local(s.Dir)
	if repo.Spec.Verification != nil {
		raw, err := r.git(ctx, dir, "cat-file", "commit", commit)
		if err != nil {
			return refuse(sourcev1.FetchFailedCondition, sourcev1.GitOperationFailedReason, err)
		}
		header, _, _ := strings.Cut(raw, "\n\n")
		if !strings.Contains(header, "\ngpgsig ") {
			err := fmt.Errorf("signature verification of commit '%s' failed: "+
				"unable to verify Git commit: the commit has no signature", commit)
			return refuse(sourcev1.SourceVerifiedCondition, "InvalidCommitSignature", err)
		}
		condition(conditions, repo, yes(sourcev1.SourceVerifiedCondition, "Succeeded",
			"verified signature of commit '"+commit+"'"))
	} else {
		apimeta.RemoveStatusCondition(conditions, sourcev1.SourceVerifiedCondition)
	}
	if revisionOf(repo) != revision {
		archive, err := s.archive(ctx, r, dir, commit)
		if err != nil {
			return refuse(sourcev1.FetchFailedCondition, sourcev1.GitOperationFailedReason, err)
		}
		size := int64(len(archive))
		path := fmt.Sprintf("gitrepository/%s/%s/%s.tar.gz", repo.Namespace, repo.Name, commit)
		repo.Status.Artifact = &meta.Artifact{
			Revision: revision, Path: path, Size: &size,
			URL:            "http://source-controller.flux-system.svc.cluster.local./" + path,
			Digest:         fmt.Sprintf("sha256:%x", sha256.Sum256(archive)),
			LastUpdateTime: metav1.Now(),
		}
	}
	message := "stored artifact for revision '" + revision + "'"
	condition(conditions, repo, yes(meta.ReadyCondition, meta.SucceededReason, message))
	condition(conditions, repo, yes(sourcev1.ArtifactInStorageCondition, meta.SucceededReason, message))
	return nil
}

// tip fetches what a GitRepository refers to and gives the mirror and the revision.
func (s *stand) tip(ctx context.Context, repo *sourcev1.GitRepository) (dir, revision string, err error) {
	r, err := s.remoteOf(ctx, repo)
	if err != nil {
		return "", "", err
	}
	dir, err = s.mirror(client.ObjectKeyFromObject(repo))
	if err != nil {
		return "", "", err
	}
	ref, prefix, err := reference(repo.Spec.Reference)
	if err != nil {
		return "", "", err
	}
	// Its source and the automations that write to it fetch into one mirror.
	lock, _ := s.mirrors.LoadOrStore(dir, &sync.Mutex{})
	lock.(*sync.Mutex).Lock()
	defer lock.(*sync.Mutex).Unlock()
	if given := repo.Spec.Reference; given != nil && given.Commit == "" {
		if commit := r.tipAt(ctx, ref); isAt(dir, ref, commit) {
			return dir, prefix + "sha1:" + commit, nil
		}
	}
	if _, err := r.git(ctx, dir, "fetch", "--quiet", "--force", "--no-tags", repo.Spec.URL, ref+":"+ref); err != nil {
		return "", "", fmt.Errorf("failed to checkout and determine revision: unable to clone '%s': %w",
			redact(repo.Spec.URL), err)
	}
	if given := repo.Spec.Reference; given != nil && given.Commit != "" {
		ref = given.Commit
	} else if strings.HasPrefix(ref, "refs/heads/") {
		if commit, err := refIn(dir, ref); err == nil {
			return dir, prefix + "sha1:" + commit, nil
		}
	}
	commit, err := r.git(ctx, dir, "rev-parse", "--verify", "--quiet", ref+"^{commit}")
	if err != nil {
		return "", "", fmt.Errorf("failed to checkout and determine revision: %w", err)
	}
	return dir, prefix + "sha1:" + commit, nil
}

// archive is the content of a commit. The last one of a mirror is remembered: its source and all that is applied from
// it ask for the same.
func (s *stand) archive(ctx context.Context, r *gitRemote, dir, commit string) ([]byte, error) {
	if known, ok := s.archives.Load(dir); ok {
		if a, ok := known.(archived); ok && a.commit == commit {
			return a.content, nil
		}
	}
	content, err := r.output(ctx, dir, "archive", "--format=tar", commit)
	if err == nil {
		s.archives.Store(dir, archived{commit, content})
	}
	return content, err
}

// archived is a commit's content.
type archived struct {
	commit  string
	content []byte
}
