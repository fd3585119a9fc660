package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/build"
	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/internal/workload"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/flux"
	"github.com/backstop-dev/backstop/reconcile/gitrepo"
	"github.com/backstop-dev/backstop/reconcile/kube"
	"github.com/backstop-dev/backstop/reconcile/registry"
)

// lookup finds the commit behind IMAGE or deploy/NAME: in a repository on this machine, or through the cluster.
type lookup struct {
	cluster
	repo, rev, path, container string
	// writes is whether Git is to be changed, and given are the flags as they were given.
	writes bool
	given  *pflag.FlagSet
}

func (l *lookup) bind(cmd *cobra.Command) {
	l.cluster.bind(cmd)
	f := cmd.Flags()
	f.StringVar(&l.repo, "repo", "", "clone or bare repository to work in, without a cluster")
	f.StringVar(&l.rev, "rev", "", "with --repo: the branch that is deployed (default: what is checked out)")
	f.StringVar(&l.path, "path", "",
		"with --repo: folder that Flux renders, its Kustomization's spec.path (default: the root)")
	f.StringVarP(&l.container, "container", "c", "", "container, where a workload has several images")
}

// repository is what both ways offer.
type repository interface {
	blame(ctx context.Context, image string) (v1alpha1.Suspect, error)
	former(ctx context.Context, s v1alpha1.Suspect) ([]reconcile.Former, error)
	plan(ctx context.Context, r reconcile.Revert) (*gitrepo.Plan, error)
	push(ctx context.Context, r reconcile.Revert, p *gitrepo.Plan) (*v1alpha1.Change, error)
	// propose puts the revert on a branch of its own, and gives the deployed branch.
	propose(ctx context.Context, branch string, r reconcile.Revert, p *gitrepo.Plan) (base string, err error)
	// server is the way to the API beside the Git server; token is used instead of the repository's own credentials
	// where it gives one for a URL.
	server(token string) (*reconcile.GitServer, error)
	close() error
}

// open finds the repository and the image that an argument is about.
func (l *lookup) open(ctx context.Context, arg string) (repository, string, error) {
	wl, isWorkload, err := parseWorkload(arg)
	if err != nil {
		return nil, "", err
	}
	if l.repo != "" {
		if f := given(l.given, "kubeconfig", "context", "as", "as-group", "container"); f != "" {
			return nil, "", badUsage("--%s goes with a cluster, and --repo looks in a clone alone", f)
		}
		return l.offline(ctx, arg, wl, isWorkload)
	}
	if l.rev != "" || l.path != "" {
		return nil, "", badUsage("--rev and --path go with --repo: in a cluster Flux's objects say them")
	}
	repo, image, err := l.online(ctx, arg, wl, isWorkload)
	if !errors.Is(err, kube.ErrNoCluster) {
		return repo, image, err
	}
	switch {
	case !inGit("."):
		return nil, "", fmt.Errorf("%w: give --repo DIR to look in a clone", err)
	case l.writes || given(l.given, "namespace", "kubeconfig", "context", "as", "container") != "":
		return nil, "", fmt.Errorf("%w: give --repo . to work in the Git repository here", err)
	case isWorkload:
		return nil, "", fmt.Errorf("%w: give an image, or --repo . to look in the Git repository here", err)
	}
	fmt.Fprintf(os.Stderr, "%v: looking in the Git repository here, as with --repo .\n", err)
	l.repo = "."
	return l.offline(ctx, arg, wl, isWorkload)
}

// inGit reports whether a folder is in a Git repository.
func inGit(dir string) bool {
	git, err := gitrepo.OpenLocal(dir, "", gitrepo.Options{})
	if err != nil {
		return false
	}
	return git.Close() == nil
}

// applies are the kinds of Flux that people may name, whose files go back by a Rollback alone: what proves it is in the
// cluster.
var applies = map[string]bool{"kustomization": true, "ks": true, "helmrelease": true, "hr": true}

// parseWorkload tells deploy/NAME from an image: a reference with a slash has a registry or a folder before it.
func parseWorkload(arg string) (v1alpha1.Workload, bool, error) {
	kind, name, ok := strings.Cut(arg, "/")
	// kubectl prints deployment.apps/NAME.
	full, known := workload.Named(kind)
	if ok && applies[strings.ToLower(kind)] {
		return v1alpha1.Workload{}, false, badUsage("%q is no workload: what Flux cannot apply is reverted by its Rollback: "+
			"the command get lists it, and approve lets Backstop revert it", arg)
	}
	if !ok || !known {
		if arg == "" {
			return v1alpha1.Workload{}, false, badUsage("want IMAGE or KIND/NAME")
		}
		return v1alpha1.Workload{}, false, nil
	}
	if name == "" || strings.Contains(name, "/") {
		return v1alpha1.Workload{}, false, badUsage("%q: want %s/NAME", arg, kind)
	}
	return v1alpha1.Workload{Kind: full.Kind, Name: name}, true, nil
}

// target joins what people type into one argument: KIND NAME is KIND/NAME, as for kubectl and flux.
func target(args []string) (string, error) {
	if len(args) == 1 {
		return args[0], nil
	}
	if _, known := workload.Named(args[0]); !known && !applies[strings.ToLower(args[0])] {
		return "", badUsage("%q is no kind of workload: want KIND NAME, KIND/NAME or IMAGE", args[0])
	}
	return args[0] + "/" + args[1], nil
}

// local is a repository on this machine.
type local struct {
	*gitrepo.Local
	query reconcile.Query
	dir   string
}

func (l *lookup) offline(ctx context.Context, arg string, wl v1alpha1.Workload, isWorkload bool,
) (repository, string, error) {
	name, email := person(l.repo)
	git, err := gitrepo.OpenLocal(l.repo, l.rev, gitrepo.Options{Now: time.Now, AuthorName: name, AuthorEmail: email})
	if err != nil {
		return nil, "", err
	}
	root := reconcile.Root{Path: strings.TrimPrefix(filepath.ToSlash(filepath.Clean(l.path)), "./")}
	if root.Path == "." {
		root.Path = ""
	}
	root.By = v1alpha1.ObjectRef{Kind: "folder", Name: cmp.Or(root.Path, ".")}
	query := reconcile.Query{Namespace: l.namespace, Root: root, Container: l.container, ByPerson: true}
	out := &local{Local: git, dir: l.repo, query: query}
	if !isWorkload {
		return out, arg, nil
	}
	out.query.Workload = wl
	images, err := git.Images(ctx, root, wl)
	if err == nil {
		arg, err = oneImage(wl, images)
	}
	if err != nil {
		err = out.mistyped(err)
		_ = git.Close()
		return nil, "", err
	}
	return out, arg, nil
}

// mistyped says that --path names no folder, where that is why nothing was found. It gives any other error as it is.
func (l *local) mistyped(err error) error {
	dir := l.query.Root.Path
	if err == nil || dir == "" {
		return err
	}
	tree, terr := l.Tree()
	if terr != nil {
		return err
	}
	switch info, serr := fs.Stat(tree, strings.TrimPrefix(dir, "/")); {
	case errors.Is(serr, fs.ErrNotExist):
		return badUsage("--path %s: no such folder in the repository at %s", oneLine(dir), text.Short(l.Tip()))
	case serr == nil && info.Mode().IsRegular():
		return badUsage("--path %s is a file: give its folder, %s", oneLine(dir), oneLine(path.Dir(dir)))
	}
	return err
}

func oneImage(wl v1alpha1.Workload, images []string) (string, error) {
	switch len(images) {
	case 0:
		return "", fmt.Errorf("no %s with a whole image was found: give the image itself, or --path", wl)
	case 1:
		return images[0], nil
	}
	return "", badUsage("%s has %d images: give one of them instead: %s", wl, len(images), strings.Join(images, ", "))
}

// person is who git says the user is.
func person(dir string) (name, email string) {
	ask := func(key string) string {
		out, err := exec.Command("git", "-C", dir, "config", key).Output()
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(out))
	}
	return ask("user.name"), ask("user.email")
}

func (l *local) blame(ctx context.Context, image string) (v1alpha1.Suspect, error) {
	l.query.Image = image
	s, err := l.Blame(ctx, l.query)
	// Without a cluster no policy is known: that does not mention who wrote the value.
	s.ByHand = ""
	return s, l.mistyped(uncommitted(ctx, l.dir, l.Tip(), image, err))
}

func (l *local) former(ctx context.Context, s v1alpha1.Suspect) ([]reconcile.Former, error) {
	return l.Former(ctx, s, maxFormer)
}

func (l *local) plan(ctx context.Context, r reconcile.Revert) (*gitrepo.Plan, error) {
	return l.Plan(ctx, []reconcile.Revert{r}, reconcile.Source{})
}

func (l *local) push(ctx context.Context, _ reconcile.Revert, p *gitrepo.Plan) (*v1alpha1.Change, error) {
	if l.Branch() == "" {
		return nil, badUsage("--push: %s is no branch: give --rev BRANCH", text.Short(l.Tip()))
	}
	return p.Landings[0].Change, p.Push(ctx, "origin", l.Branch())
}

func (l *local) close() error { return l.Close() }

// remote is a repository that the cluster's Flux objects lead to, with their credentials.
type remote struct {
	git    *gitrepo.Mirrors
	origin reconcile.Origin
	query  reconcile.Query
	// others are where else an image may have been that nothing runs any more.
	others []lead
	forget func() error
}

// lead is where a workload's image comes from, and what to ask there.
type lead struct {
	origin reconcile.Origin
	query  reconcile.Query
}

func (l *lookup) online(ctx context.Context, arg string, wl v1alpha1.Workload, isWorkload bool,
) (repository, string, error) {
	cl, ns, err := l.client()
	if err != nil {
		return nil, "", err
	}
	if err := noNamespace(ctx, cl, ns); err != nil {
		return nil, "", err
	}
	image, named, all := arg, true, []v1alpha1.Workload{wl}
	if isWorkload {
		image, err = liveImage(ctx, cl, ns, wl, l.container)
	} else {
		all, named, err = runs(ctx, cl, ns, image)
	}
	if err != nil {
		return nil, "", err
	}
	var leads []lead
	chain := flux.New(cl, flux.Options{Person: true})
	for _, wl := range all {
		origin, err := chain.Origin(ctx, ns, wl, nil, time.Time{})
		if err != nil && len(all) == 1 {
			return nil, "", fmt.Errorf("find the source of %s: %w", wl, err)
		}
		if err == nil {
			leads = append(leads, lead{origin, reconcile.Query{
				Namespace: ns, Workload: wl, Container: l.container, Root: origin.Root, Others: origin.Others,
				Policies: origin.Policies, ByPerson: !named,
			}})
		}
	}
	if len(leads) == 0 {
		return nil, "", fmt.Errorf("find the source of %s: of %d workloads that run its repository none has one that can be "+
			"read: name one of them, such as %s", image, len(all), all[0])
	}
	git, forget, err := mirrorOnce()
	if err != nil {
		return nil, "", err
	}
	return &remote{git: git, forget: forget, origin: leads[0].origin, query: leads[0].query, others: leads[1:]}, image, nil
}

// blame asks where the image came from. What nothing runs any more is looked for behind one workload after the other.
func (r *remote) blame(ctx context.Context, image string) (v1alpha1.Suspect, error) {
	r.query.Image = image
	s, err := r.git.Blame(ctx, r.origin.Source, r.query)
	for _, next := range r.others {
		if _, refused := reconcile.AsRefusal(err); !refused {
			break
		}
		next.query.Image = image
		if found, missed := r.git.Blame(ctx, next.origin.Source, next.query); missed == nil {
			r.origin, r.query = next.origin, next.query
			return found, nil
		}
	}
	return s, err
}

func (r *remote) former(ctx context.Context, s v1alpha1.Suspect) ([]reconcile.Former, error) {
	return r.git.Former(ctx, r.origin.Source, s, maxFormer)
}

func (r *remote) plan(ctx context.Context, rev reconcile.Revert) (*gitrepo.Plan, error) {
	return r.git.Preview(ctx, r.origin.Source, []reconcile.Revert{rev})
}

func (r *remote) push(ctx context.Context, rev reconcile.Revert, _ *gitrepo.Plan) (*v1alpha1.Change, error) {
	landed, err := r.git.Land(ctx, r.origin.Source, []reconcile.Revert{rev})
	if err != nil {
		return nil, err
	}
	return landed[0].Change, landed[0].Err
}

func (r *remote) close() error { return r.forget() }

// mirrorOnce makes mirrors for one command, and what deletes them again.
func mirrorOnce() (git *gitrepo.Mirrors, forget func() error, err error) {
	dir, err := os.MkdirTemp("", "backstop-")
	if err != nil {
		return nil, nil, fmt.Errorf("make a folder for the mirror: %w", err)
	}
	forget = func() error { return os.RemoveAll(dir) }
	if git, err = gitrepo.New(dir, gitrepo.Options{Now: time.Now}); err != nil {
		return nil, nil, errors.Join(err, forget())
	}
	return git, forget, nil
}

// view is what trace and doctor look at a namespace with: as a person, who may have logins that Backstop has not.
type view struct {
	client    client.Client
	namespace string
	flux      *flux.Flux
	git       *gitrepo.Mirrors
	registry  *registry.Registry
	logins    *logins
	// forget removes the mirror.
	forget func() error
}

func (c *cluster) view() (*view, error) {
	cl, ns, err := c.client()
	if err != nil {
		return nil, err
	}
	git, forget, err := mirrorOnce()
	if err != nil {
		return nil, err
	}
	return &view{
		client: cl, namespace: ns, flux: flux.New(cl, flux.Options{Person: true}), git: git,
		registry: registry.New(registry.Options{UserAgent: "backstop/" + build.Version()}),
		logins:   &logins{keychain: keychain()}, forget: forget,
	}, nil
}
