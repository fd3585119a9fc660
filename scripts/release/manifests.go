package release

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// The media types by which Flux knows an artifact.
const (
	fluxConfig  = "application/vnd.cncf.flux.config.v1+json"
	fluxContent = "application/vnd.cncf.flux.content.v1.tar+gzip"
)

// manifests makes install.yaml, crds.yaml and the artifact that flux pull artifact and an OCIRepository take: the
// kustomizations as they are in the checkout, with the image of this release by tag and digest.
func (r *release) manifests(context.Context) error {
	var err error
	if r.tree, err = pinned(filepath.Join(r.root, "deploy", "kustomize"), r.version, r.imageDigest); err != nil {
		return err
	}
	for name, folder := range map[string]string{"install.yaml": "default", "crds.yaml": "crds"} {
		built, err := kustomize(r.tree, folder)
		if err != nil {
			return err
		}
		text, err := built.AsYaml()
		if err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
		if err := r.write(name, text); err != nil {
			return err
		}
	}
	a, err := r.fluxArtifact()
	if err != nil {
		return err
	}
	return r.keep(manifestsRepository, r.version, a)
}

func (r *release) fluxArtifact() (artifact, error) {
	content, err := tarball(r.tree, r.created)
	return artifact{
		configType: fluxConfig, config: []byte("{}"), contentType: fluxContent, content: content,
		annotations: r.annotations("Kustomizations of Backstop: default, tenant and components"),
	}, err
}

// Manifests is the artifact of the kustomizations below a folder, as a release of that version and image has it.
func Manifests(root, version, digest string) (v1.Image, error) {
	r := &release{version: version, imageDigest: digest}
	var err error
	if r.tree, err = pinned(root, version, digest); err != nil {
		return nil, err
	}
	a, err := r.fluxArtifact()
	if err != nil {
		return nil, err
	}
	return a.image()
}

// imageTag is where a kustomization reports which tag of Backstop's image it takes.
var imageTag = regexp.MustCompile(`(?m)^(- name: ghcr\.io/backstop-dev/backstop\n  newTag: ).*\n`)

// pinned reads the kustomizations, with version and digest in place of the tag that the checkout has.
func pinned(root, version, digest string) ([]file, error) {
	var out []file
	found := 0
	err := filepath.WalkDir(root, func(at string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(at)
		if err != nil {
			return err
		}
		if imageTag.Match(data) {
			found++
			data = imageTag.ReplaceAll(data, []byte("${1}"+version+"\n  digest: "+digest+"\n"))
		}
		rel, err := filepath.Rel(root, at)
		out = append(out, file{name: filepath.ToSlash(rel), mode: 0o644, data: data})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the kustomizations: %w", err)
	}
	if found < 2 {
		return nil, fmt.Errorf("%d kustomizations in %s name the image's tag: want those of default and tenant", found, root)
	}
	return out, nil
}

// kustomize builds a folder of the tree, with components of it.
func kustomize(tree []file, folder string, components ...string) (resmap.ResMap, error) {
	disk := filesys.MakeFsInMemory()
	for _, f := range tree {
		if err := disk.WriteFile("/tree/"+f.name, f.data); err != nil {
			return nil, fmt.Errorf("lay out the kustomizations: %w", err)
		}
	}
	overlay := "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [../" + folder + "]\n"
	if len(components) > 0 {
		overlay += "components:\n"
		for _, c := range components {
			overlay += "- " + path.Join("../components", c) + "\n"
		}
	}
	if err := disk.WriteFile("/tree/overlay/kustomization.yaml", []byte(overlay)); err != nil {
		return nil, fmt.Errorf("lay out the kustomizations: %w", err)
	}
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionNone
	built, err := krusty.MakeKustomizer(options).Run(disk, "/tree/overlay")
	if err != nil {
		return nil, fmt.Errorf("build %s with %s: %w", folder, strings.Join(components, ", "), err)
	}
	return built, nil
}
