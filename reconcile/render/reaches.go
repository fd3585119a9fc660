package render

import (
	"bytes"
	"fmt"

	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"

	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// probe is an image that nothing else names.
const probe = "backstop.invalid/probe"

// Reaches reports whether an entry of images of a kustomization file that the folder reaches changes anything of what
// it renders: the nth of that name. It builds the folder, with other images in that file, and is asked of a folder that
// is ready to be built and is used for nothing else after it. In the place of an entry that the Flux Kustomization
// replaces by one of that name, that one is tried.
func (f *Folder) Reaches(file, name string, nth int) (bool, error) {
	data, err := manifest.ReadFile(f.files, file)
	if err != nil {
		return false, fmt.Errorf("read %s: %w", file, err)
	}
	k := types.Kustomization{}
	if err := yaml.Unmarshal(data, &k); err != nil {
		return false, fmt.Errorf("read %s: %w", file, err)
	}
	k.FixKustomization()
	at := -1
	for i, e := range k.Images {
		if e.Name == name {
			if nth--; nth < 0 {
				at = i
				break
			}
		}
	}
	if at < 0 {
		return true, nil
	}
	// What stands before it in the list is done before it.
	k.Images = append(k.Images[:at:at], types.Image{Name: name, NewName: probe})
	if data, err = yaml.Marshal(k); err != nil {
		return false, fmt.Errorf("write %s: %w", file, err)
	}
	f.files.over[file] = data
	if data, err = f.Build(); err != nil {
		return false, err
	}
	return bytes.Contains(data, []byte(probe)), nil
}
