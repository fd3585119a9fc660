package fluxstub

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/kustomize/kyaml/resid"
	"sigs.k8s.io/yaml"
)

// unpack writes an archive below a folder. What is no regular file is left out,
// as source-controller does.
func unpack(archive []byte, files filesys.FileSystem, root string) error {
	for in := tar.NewReader(bytes.NewReader(archive)); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the artifact: %w", err)
		}
		name := path.Join(root, path.Clean("/"+header.Name))
		switch header.Typeflag {
		case tar.TypeDir:
			err = files.MkdirAll(name)
		case tar.TypeReg:
			var text []byte
			if text, err = io.ReadAll(in); err == nil {
				err = files.WriteFile(name, text)
			}
		}
		if err != nil {
			return fmt.Errorf("unpack %s: %w", header.Name, err)
		}
	}
}

// build makes the objects of a Kustomization out of an archive, and gives their YAML too.
func build(archive []byte, k *kustomizev1.Kustomization) ([]*unstructured.Unstructured, []byte, error) {
	files := filesys.MakeFsInMemory()
	if err := unpack(archive, files, "/"); err != nil {
		return nil, nil, err
	}
	dir := path.Clean("/" + k.Spec.Path)
	if !files.Exists(dir) {
		return nil, nil, fmt.Errorf("kustomization path not found: stat %s: no such file or directory", k.Spec.Path)
	}
	if err := generate(files, dir, k); err != nil {
		return nil, nil, err
	}
	kustomizeLock.Lock()
	defer kustomizeLock.Unlock()
	options := krusty.MakeDefaultOptions()
	options.LoadRestrictions = types.LoadRestrictionsNone
	resources, err := krusty.MakeKustomizer(options).Run(files, dir)
	if err != nil {
		return nil, nil, fmt.Errorf("kustomize build failed: %w", err)
	}
	text, err := resources.AsYaml()
	if err != nil {
		return nil, nil, fmt.Errorf("kustomize build failed: %w", err)
	}
	var objects []*unstructured.Unstructured
	for _, r := range resources.Resources() {
		content, err := r.MarshalJSON() // whose numbers can be copied
		o := &unstructured.Unstructured{}
		if err == nil {
			err = o.UnmarshalJSON(content)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("read %s: %w", r.CurId(), err)
		}
		delete(o.Object, "sops")
		objects = append(objects, o)
	}
	return objects, text, nil
}

// generate writes the kustomization file that kustomize is run on: the one that
// is there or one that lists the manifests, with what the object adds to it.
func generate(files filesys.FileSystem, dir string, k *kustomizev1.Kustomization) error {
	file, spec := path.Join(dir, konfig.DefaultKustomizationFileName()), types.Kustomization{}
	if name := kustomizationIn(files, dir); name != "" {
		file = path.Join(dir, name)
		text, err := files.ReadFile(file)
		if err != nil {
			return fmt.Errorf("read %s: %w", file, err)
		}
		if err := yaml.Unmarshal(text, &spec); err != nil {
			return fmt.Errorf("failed to decode kustomization file %s: %w", file, err)
		}
		spec.FixKustomization()
	} else {
		resources, err := manifests(files, dir)
		if err != nil {
			return err
		}
		spec.TypeMeta = types.TypeMeta{APIVersion: types.KustomizationVersion, Kind: types.KustomizationKind}
		spec.Resources = resources
	}
	if k.Spec.TargetNamespace != "" {
		spec.Namespace = k.Spec.TargetNamespace
	}
	for _, i := range k.Spec.Images {
		spec.Images = append(withoutImage(spec.Images, i.Name),
			types.Image{Name: i.Name, NewName: i.NewName, NewTag: i.NewTag, Digest: i.Digest})
	}
	for _, p := range k.Spec.Patches {
		patch := types.Patch{Patch: p.Patch}
		if t := p.Target; t != nil {
			patch.Target = &types.Selector{
				ResId: resid.ResId{
					Gvk:  resid.Gvk{Group: t.Group, Version: t.Version, Kind: t.Kind},
					Name: t.Name, Namespace: t.Namespace,
				},
				LabelSelector:      t.LabelSelector,
				AnnotationSelector: t.AnnotationSelector,
			}
		}
		spec.Patches = append(spec.Patches, patch)
	}
	text, err := yaml.Marshal(spec)
	if err != nil {
		return fmt.Errorf("encode %s: %w", file, err)
	}
	return files.WriteFile(file, text)
}

func withoutImage(images []types.Image, name string) []types.Image {
	var rest []types.Image
	for _, i := range images {
		if i.Name != name {
			rest = append(rest, i)
		}
	}
	return rest
}

// kustomizationIn is the name of a folder's kustomization file; empty without one.
func kustomizationIn(files filesys.FileSystem, dir string) string {
	for _, name := range konfig.RecognizedKustomizationFileNames() {
		if files.Exists(path.Join(dir, name)) {
			return name
		}
	}
	return ""
}

// manifests lists the YAML files below a folder, and the folders with a kustomization file of their own.
func manifests(files filesys.FileSystem, root string) ([]string, error) {
	var found []string
	err := files.Walk(root, func(at string, info fs.FileInfo, err error) error {
		if err != nil || at == root {
			return err
		}
		rel := strings.TrimPrefix(strings.TrimPrefix(at, root), "/")
		if info.IsDir() {
			if kustomizationIn(files, at) == "" {
				return nil
			}
			found = append(found, rel)
			return fs.SkipDir
		}
		if ext := path.Ext(at); ext == ".yaml" || ext == ".yml" {
			found = append(found, rel)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the manifests: %w", err)
	}
	return found, nil
}
