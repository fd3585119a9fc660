package fluxstub

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	automationv1 "github.com/fluxcd/image-automation-controller/api/v1"
	reflectorv1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// defaultMessage is the message of a write-back whose automation gives no template.
const defaultMessage = "Update from image update automation"

// setUpAutomation wakes every automation of a namespace when a policy in it
// selects anew, whatever it selects, and those of a source whose spec changed.
func (s *stand) setUpAutomation(mgr ctrl.Manager) error {
	wake := func(is func(automationv1.ImageUpdateAutomation, client.Object) bool) handler.EventHandler {
		return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []reconcile.Request {
			var list automationv1.ImageUpdateAutomationList
			if err := mgr.GetClient().List(ctx, &list); err != nil {
				return nil
			}
			var woken []reconcile.Request
			for _, a := range list.Items {
				if is(a, o) {
					woken = append(woken, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&a)})
				}
			}
			return woken
		})
	}
	beside := func(a automationv1.ImageUpdateAutomation, o client.Object) bool {
		return a.Namespace == o.GetNamespace()
	}
	from := func(a automationv1.ImageUpdateAutomation, o client.Object) bool {
		return repositoryFor(&a) == client.ObjectKeyFromObject(o)
	}
	selected := changed(func(p *reflectorv1.ImagePolicy) string {
		if p.Status.LatestRef == nil {
			return ""
		}
		return p.Status.LatestRef.String()
	})
	updated := predicate.And(predicate.GenerationChangedPredicate{},
		predicate.Funcs{CreateFunc: func(event.CreateEvent) bool { return false }})
	return s.build(mgr, &automationv1.ImageUpdateAutomation{}).
		Watches(&reflectorv1.ImagePolicy{}, wake(beside), builder.WithPredicates(selected)).
		Watches(&sourcev1.GitRepository{}, wake(from), builder.WithPredicates(updated)).
		Complete(reconcile.Func(s.automation))
}

// repositoryFor is the GitRepository of an automation.
func repositoryFor(a *automationv1.ImageUpdateAutomation) client.ObjectKey {
	key := client.ObjectKey{Namespace: a.Spec.SourceRef.Namespace, Name: a.Spec.SourceRef.Name}
	if key.Namespace == "" {
		key.Namespace = a.Namespace
	}
	return key
}

// automation writes what policies selected to Git. Only its own suspend stops
// it: a policy that is suspended or fails keeps what it selected.
func (s *stand) automation(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	a := &automationv1.ImageUpdateAutomation{}
	if err := s.load(ctx, req.NamespacedName, a); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if a.Spec.Suspend || a.DeletionTimestamp != nil {
		return ctrl.Result{}, nil
	}
	was := a.DeepCopy()
	pushed, reason, fail := s.update(ctx, a)
	if stopping(ctx) {
		return ctrl.Result{}, nil
	}
	a.Status.LastHandledReconcileAt = handled(a)
	if fail != nil {
		condition(&a.Status.Conditions, a, no(meta.ReadyCondition, reason, fail.Error()))
	} else {
		a.Status.ObservedGeneration = a.Generation
		condition(&a.Status.Conditions, a, yes(meta.ReadyCondition, meta.SucceededReason, "repository up-to-date"))
		apimeta.RemoveStatusCondition(&a.Status.Conditions, meta.ReconcilingCondition)
	}
	var last time.Time
	if ran := a.Status.LastAutomationRunTime; ran != nil {
		last = ran.Time
	}
	a.Status.LastAutomationRunTime = new(moment(last, !equality.Semantic.DeepEqual(was, a)))
	if err := s.save(ctx, was, a, "image-automation-controller"); err != nil {
		return ctrl.Result{}, err
	}
	if fail != nil {
		s.Log.Warn("automation", "object", req, "error", fail)
		return ctrl.Result{}, fail
	}
	if pushed != "" {
		s.Log.Info("automation", "object", req, "pushed", pushed)
	}
	return ctrl.Result{RequeueAfter: a.Spec.Interval.Duration}, nil
}

// checkout is where an automation reads and where it pushes.
type checkout struct {
	*gitRemote
	// fetch is the ref to read and prefix how a revision of it begins.
	fetch, prefix string
	// push is the branch to push to; switched says that it is not the one that is read, which makes the push a forced one.
	push     string
	switched bool
}

// checkoutOf reads an automation's source. A source that names a ref and no
// branch (as a FluxInstance writes it) counts as switched even when push names
// the same branch.
func (s *stand) checkoutOf(ctx context.Context, a *automationv1.ImageUpdateAutomation) (*checkout, error) {
	if a.Spec.SourceRef.Kind != sourcev1.GitRepositoryKind || a.Spec.GitSpec == nil {
		return nil, errors.New("invalid source configuration: spec.sourceRef must be a GitRepository and spec.git be set")
	}
	var repo sourcev1.GitRepository
	if err := s.seen.Get(ctx, repositoryFor(a), &repo); err != nil {
		return nil, fmt.Errorf("failed to get git repository: %w", err)
	}
	r, err := s.remoteOf(ctx, &repo)
	if err != nil {
		return nil, err
	}
	ref := repo.Spec.Reference
	if c := a.Spec.GitSpec.Checkout; c != nil {
		ref = &c.Reference
	}
	c := &checkout{gitRemote: r}
	if c.fetch, c.prefix, err = reference(ref); err != nil {
		return nil, err
	}
	branch := ""
	if ref == nil {
		branch = "master"
	} else if ref.Name == "" {
		branch = ref.Branch
	}
	c.push = branch
	if p := a.Spec.GitSpec.Push; p != nil && p.Branch != "" {
		c.push = p.Branch
	}
	if c.push == "" {
		return nil, errors.New("push spec is missing and the checkout names no branch")
	}
	c.switched = c.push != branch
	return c, nil
}

// update is one run. It gives the commit that was pushed, if any, or why not with the condition's reason.
func (s *stand) update(ctx context.Context, a *automationv1.ImageUpdateAutomation) (pushed, reason string, err error) {
	setters, observed, err := s.setters(ctx, a)
	if err != nil {
		return "", automationv1.InvalidPolicySelectorReason, err
	}
	c, err := s.checkoutOf(ctx, a)
	if err != nil {
		return "", automationv1.InvalidSourceConfigReason, err
	}
	push := a.Spec.GitSpec.Push
	forced := c.switched || push != nil && push.Refspec != ""
	full := forced || a.Status.ObservedGeneration != a.Generation ||
		!maps.Equal(a.Status.ObservedPolicies, observed)
	commit, err := c.tip(ctx, s.Dir)
	if err != nil {
		return "", automationv1.GitOperationFailedReason, fmt.Errorf("failed to checkout source: %w", err)
	}
	if !full && c.prefix+"sha1:"+commit == a.Status.ObservedSourceRevision {
		return "", "", nil
	}
	dir, err := os.MkdirTemp(s.Dir, "automation-")
	if err != nil {
		return "", automationv1.SourceManagerFailedReason, err
	}
	defer os.RemoveAll(dir)
	if !forced && s.upToDate(ctx, a, commit, filepath.Join(dir, "archive"), setters) {
		a.Status.ObservedPolicies, a.Status.ObservedSourceRevision = observed, c.prefix+"sha1:"+commit
		return "", "", nil
	}
	dir = filepath.Join(dir, "clone")
	read, err := c.clone(ctx, dir)
	if err != nil {
		return "", automationv1.GitOperationFailedReason, fmt.Errorf("failed to checkout source: %w", err)
	}
	changes, err := write(dir, a, setters)
	if err != nil {
		return "", automationv1.UpdateFailedReason, err
	}
	a.Status.ObservedPolicies, a.Status.ObservedSourceRevision = observed, c.prefix+"sha1:"+read
	if len(changes.FileChanges) == 0 {
		return "", "", nil
	}
	message, err := messageOf(a, changes)
	if err != nil {
		a.Status.ObservedPolicies, a.Status.ObservedSourceRevision = nil, ""
		return "", automationv1.UpdateFailedReason, err
	}
	pushed, err = c.commitAndPush(ctx, dir, a, message)
	if err != nil {
		// What was observed counts only once it is pushed, so that the next run is a full one again.
		a.Status.ObservedPolicies, a.Status.ObservedSourceRevision = nil, ""
		return "", automationv1.GitOperationFailedReason, fmt.Errorf("failed to update source: %w", err)
	}
	now := metav1.Now()
	a.Status.LastPushCommit, a.Status.LastPushTime = pushed, &now
	if !c.switched {
		a.Status.ObservedSourceRevision = c.prefix + "sha1:" + pushed
	}
	return pushed, "", nil
}

// tip is the commit of the ref that is read.
func (c *checkout) tip(ctx context.Context, home string) (string, error) {
	if commit := c.tipAt(ctx, c.fetch); commit != "" {
		return commit, nil
	}
	line, err := c.git(ctx, home, "ls-remote", "--exit-code", c.url, c.fetch)
	commit, _, _ := strings.Cut(line, "\t")
	return commit, err
}

// setters are those of the policies that an automation takes: all of its namespace that ever selected something, unless
// it selects.
func (s *stand) setters(ctx context.Context, a *automationv1.ImageUpdateAutomation,
) (map[string]string, automationv1.ObservedPolicies, error) {
	selected := labels.Everything()
	if a.Spec.PolicySelector != nil {
		var err error
		if selected, err = metav1.LabelSelectorAsSelector(a.Spec.PolicySelector); err != nil {
			return nil, nil, fmt.Errorf("failed to parse policy selector: %w", err)
		}
	}
	var policies reflectorv1.ImagePolicyList
	err := s.seen.List(ctx, &policies, client.InNamespace(a.Namespace),
		client.MatchingLabelsSelector{Selector: selected})
	if err != nil {
		return nil, nil, fmt.Errorf("failed to list policies: %w", err)
	}
	setters, observed := map[string]string{}, automationv1.ObservedPolicies{}
	for _, p := range policies.Items {
		if l := p.Status.LatestRef; l != nil {
			observed[p.Name] = automationv1.ImageRef{Name: l.Name, Tag: l.Tag, Digest: l.Digest}
			maps.Copy(setters, policySetters(p.Namespace+":"+p.Name, l.Name, l.Tag, l.Digest))
		}
	}
	return setters, observed, nil
}

// upToDate reports that a commit has what the policies selected already, as the archive that its source shares tells.
// Of many automations of one branch one writes, and the others see so without a clone, which is ten processes.
func (s *stand) upToDate(ctx context.Context, a *automationv1.ImageUpdateAutomation, commit, dir string,
	setters map[string]string,
) bool {
	var repo sourcev1.GitRepository
	if s.seen.Get(ctx, repositoryFor(a), &repo) != nil {
		return false
	}
	if c := a.Spec.GitSpec.Checkout; c != nil {
		repo.Spec.Reference = &c.Reference
	}
	mirror, revision, err := s.tip(ctx, &repo)
	if err != nil || commitOf(revision) != commit {
		return false
	}
	archive, err := s.archive(ctx, local(s.Dir), mirror, commit)
	if err != nil || os.Mkdir(dir, 0o755) != nil || unpack(archive, filesys.MakeFsOnDisk(), dir) != nil {
		return false
	}
	changes, err := write(dir, a, setters)
	return err == nil && len(changes.FileChanges) == 0
}

// write applies the setters below the path that an automation updates.
func write(dir string, a *automationv1.ImageUpdateAutomation, setters map[string]string) (Changes, error) {
	path := ""
	if a.Spec.Update != nil {
		path = filepath.Clean("/" + a.Spec.Update.Path)
	}
	return applySetters(filepath.Join(dir, path), setters)
}

// clone makes a work tree of the tip alone and gives its commit.
func (c *checkout) clone(ctx context.Context, dir string) (string, error) {
	if err := begin(filepath.Join(dir, ".git"), false); err != nil {
		return "", err
	}
	for _, args := range [][]string{
		{"fetch", "--quiet", "--depth=1", c.url, c.fetch},
		{"checkout", "--quiet", "-B", c.push, "FETCH_HEAD"},
	} {
		if _, err := c.git(ctx, dir, args...); err != nil {
			return "", err
		}
	}
	return c.head(dir)
}

// head is the commit of the branch that is checked out.
func (c *checkout) head(dir string) (string, error) {
	return refIn(filepath.Join(dir, ".git"), "refs/heads/"+c.push)
}

// commitAndPush commits everything as the automation's author and pushes it.
func (c *checkout) commitAndPush(ctx context.Context, dir string, a *automationv1.ImageUpdateAutomation, message string,
) (string, error) {
	author := a.Spec.GitSpec.Commit.Author
	name := author.Name
	if name == "" {
		name = author.Email
	}
	for _, who := range []string{"AUTHOR", "COMMITTER"} {
		c.env = append(c.env, "GIT_"+who+"_NAME="+name, "GIT_"+who+"_EMAIL="+author.Email)
	}
	if _, err := c.git(ctx, dir, "commit", "--quiet", "--all", "--cleanup=verbatim", "-m", message); err != nil {
		return "", err
	}
	args := []string{"push", "--quiet", "--porcelain"}
	push := a.Spec.GitSpec.Push
	if push != nil {
		for k, v := range push.Options {
			args = append(args, "--push-option="+k+"="+v)
		}
	}
	branch := "HEAD:refs/heads/" + c.push
	if c.switched {
		branch = "+" + branch
	}
	args = append(args, c.url)
	if _, err := c.git(ctx, dir, append(args, branch)...); err != nil {
		return "", fmt.Errorf("failed to push to remote: %w", err)
	}
	if push != nil && push.Refspec != "" {
		if _, err := c.git(ctx, dir, append(args, push.Refspec)...); err != nil {
			return "", fmt.Errorf("failed to push to remote: %w", err)
		}
	}
	return c.head(dir)
}

// messageOf is the commit message, from the automation's template where it has one.
func messageOf(a *automationv1.ImageUpdateAutomation, changes Changes) (string, error) {
	spec := a.Spec.GitSpec.Commit
	text := spec.MessageTemplate
	if text == "" {
		text = defaultMessage
	}
	t, err := template.New("commit message").Parse(text)
	if err != nil {
		return "", fmt.Errorf("unable to create commit message template from spec: %w", err)
	}
	var message strings.Builder
	err = t.Execute(&message, struct {
		AutomationObject client.ObjectKey
		Changed          Changes
		Values           map[string]string
	}{client.ObjectKeyFromObject(a), changes, spec.MessageTemplateValues})
	if err != nil {
		return "", fmt.Errorf("failed to run template from spec: %w", err)
	}
	return message.String(), nil
}
