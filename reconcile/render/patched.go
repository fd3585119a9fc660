package render

import (
	"errors"

	fluxkustomize "github.com/fluxcd/pkg/apis/kustomize"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// Patched runs kustomize over some objects in memory, as helm-controller does for the postRenderers of a HelmRelease.
func Patched(objects []byte, images []fluxkustomize.Image, patches []fluxkustomize.Patch) ([]byte, error) {
	k := types.Kustomization{Resources: []string{"all.yaml"}}
	k.TypeMeta = types.TypeMeta{APIVersion: types.KustomizationVersion, Kind: types.KustomizationKind}
	mergeImages(&k, images, patches)
	data, err := yaml.Marshal(k)
	if err != nil {
		return nil, err
	}
	files := filesys.MakeFsInMemory()
	if err := errors.Join(files.WriteFile("all.yaml", objects), files.WriteFile("kustomization.yaml", data)); err != nil {
		return nil, err
	}
	resources, err := build(files, ".", krusty.MakeDefaultOptions())
	if err != nil {
		return nil, err
	}
	return resources.AsYaml()
}
