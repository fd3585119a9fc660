package release

import (
	"context"
	"fmt"

	"sigs.k8s.io/yaml"
)

const (
	short = "Revert images that cannot run, in Git"
	long  = `Backstop runs beside Flux and takes an image that cannot run back out of Git. This plugin shows what it does,
decides what it asks, says which commit brought an image in and where an image is on its way, and checks changes before
they are merged.
`
)

// download is where a file of the release is had.
func (r *release) download(name string) string {
	return source + "/releases/download/" + r.version + "/" + name
}

// plugins writes the manifest by which Krew installs kubectl backstop, and the one by which flux plugin install makes
// flux backstop. The latter has the names that flux asks a catalog for, so that the release's address is one.
func (r *release) plugins(context.Context) error {
	var krew, flux []any
	for _, p := range r.platforms {
		a := r.archives[p]
		krew = append(krew, map[string]any{
			"selector": map[string]any{"matchLabels": map[string]string{"os": p.os, "arch": p.arch}},
			"uri":      r.download(a.name), "sha256": a.sha256, "bin": p.binary("backstop"),
			"files": []map[string]string{{"from": p.binary("backstop"), "to": "."}, {"from": "LICENSE", "to": "."}},
		})
		flux = append(flux, map[string]any{
			"os": p.os, "arch": p.arch, "url": r.download(a.name),
			"checksum": "sha256:" + a.sha256, "extractPath": p.binary("backstop"),
		})
	}
	common := map[string]any{"name": "backstop", "description": short, "homepage": source, "source": source}
	entry := map[string]any{"license": "Apache-2.0"}
	plugin := map[string]any{
		"apiVersion": "cli.fluxcd.io/v1beta1", "kind": "Plugin", "bin": "flux-backstop",
		"versions": []any{map[string]any{"version": r.bare, "platforms": flux}},
	}
	for k, v := range common {
		entry[k], plugin[k] = v, v
	}
	for name, content := range map[string]any{
		"krew.yaml": map[string]any{
			"apiVersion": "krew.googlecontainertools.github.com/v1alpha2", "kind": "Plugin",
			"metadata": map[string]string{"name": "backstop"},
			"spec": map[string]any{
				"version": r.version, "homepage": source, "shortDescription": short, "description": long, "platforms": krew,
			},
		},
		"backstop.yaml": plugin,
		"catalog.yaml": map[string]any{
			"apiVersion": "cli.fluxcd.io/v1beta1", "kind": "PluginCatalog", "plugins": []any{entry},
		},
	} {
		data, err := yaml.Marshal(content)
		if err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
		if err := r.write(name, data); err != nil {
			return err
		}
	}
	return nil
}
