package gate

import (
	"slices"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"

	"github.com/backstop-dev/backstop/gate/sources"
)

// ours reports whether a Kustomization renders this repository, as far as the tree tells.
func (b *builder) ours(k *kustomizev1.Kustomization) bool {
	ref := k.Spec.SourceRef
	return (ref.Kind == "GitRepository" || ref.Kind == "") && b.oursByName(ref.Name)
}

// oursByName reports whether a GitRepository is this repository, as far as the tree tells.
func (b *builder) oursByName(name string) bool {
	known := slices.Clone(b.remotes)
	var urls, named []string
	for i := range b.gitRepos {
		o := &b.gitRepos[i]
		at := address(sources.TextOf(sources.ValueOf(o.Root, "spec"), "url"))
		if o.Name == "flux-system" {
			known = append(known, at)
		}
		if o.Name == name && at != "" {
			named = append(named, at)
		}
		urls = append(urls, at)
	}
	if len(named) == 0 || len(known) == 0 || overlap(known, named) {
		return true
	}
	// Where none of the sources is known to be this repository, because it was renamed or cloned from a mirror, a folder
	// that is there decides.
	return !overlap(known, urls)
}

// surelyOurs reports whether a GitRepository is known to be this repository, and to bring nothing of another one. Where
// two namespaces have one of its name, both have to be.
func (b *builder) surelyOurs(name string) bool {
	found := false
	for i := range b.gitRepos {
		o := &b.gitRepos[i]
		if o.Name != name {
			continue
		}
		spec := sources.ValueOf(o.Root, "spec")
		if sources.ValueOf(spec, "include") != nil {
			return false
		}
		at := address(sources.TextOf(spec, "url"))
		if name != "flux-system" && (at == "" || !slices.Contains(b.remotes, at)) {
			return false
		}
		found = true
	}
	return found
}

// address makes one of the ways to write a repository's URL.
func address(url string) string {
	_, rest, ok := strings.Cut(url, "://")
	if !ok {
		rest = strings.Replace(url, ":", "/", 1)
	}
	if user, host, ok := strings.Cut(rest, "@"); ok && !strings.Contains(user, "/") {
		rest = host
	}
	return strings.ToLower(strings.TrimSuffix(strings.TrimSuffix(rest, "/"), ".git"))
}
