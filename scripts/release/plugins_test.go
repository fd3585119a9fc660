package release

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// everywhere makes the plugin manifests of a release for all platforms.
func everywhere(t *testing.T) *release {
	t.Helper()
	r := &release{version: "v1.2.3", bare: "1.2.3", out: t.TempDir(), archives: map[platform]archive{}}
	var err error
	if r.platforms, err = parsePlatforms(allPlatforms); err != nil {
		t.Fatal(err)
	}
	for _, p := range r.platforms {
		r.archives[p] = archive{name: "backstop_1.2.3_" + p.os + "_" + p.arch + ".tar.gz", sha256: strings.Repeat("ab", 32)}
	}
	if err := r.plugins(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// fluxPlugin is what flux plugin install reads, field by field: another one is refused by its catalog's schema.
type fluxPlugin struct {
	APIVersion, Kind, Name, Description, Homepage, Source, Bin string
	Versions                                                   []struct {
		Version   string
		Platforms []struct{ OS, Arch, URL, Checksum, ExtractPath string }
	}
}

func TestFluxPluginManifestFitsItsCatalog(t *testing.T) {
	r := everywhere(t)
	var p fluxPlugin
	if err := yaml.UnmarshalStrict(read(t, r.out, "backstop.yaml"), &p); err != nil {
		t.Fatal(err)
	}
	if p.APIVersion != "cli.fluxcd.io/v1beta1" || p.Kind != "Plugin" || p.Name != "backstop" || p.Bin != "flux-backstop" || p.Description == "" {
		t.Errorf("plugin %+v", p)
	}
	if len(p.Versions) != 1 || p.Versions[0].Version != "1.2.3" || len(p.Versions[0].Platforms) != 6 {
		t.Fatalf("versions %+v", p.Versions)
	}
	digest := regexp.MustCompile(`^sha256:[a-f0-9]{64}$`)
	for _, one := range p.Versions[0].Platforms {
		want := map[bool]string{true: "backstop.exe", false: "backstop"}[one.OS == "windows"]
		if !strings.HasPrefix(one.URL, source+"/releases/download/v1.2.3/backstop_1.2.3_"+one.OS+"_"+one.Arch+".") ||
			!digest.MatchString(one.Checksum) || one.ExtractPath != want {
			t.Errorf("platform %+v", one)
		}
	}
	var catalog struct {
		APIVersion, Kind string
		Plugins          []struct{ Name, Description, Homepage, Source, License string }
	}
	if err := yaml.UnmarshalStrict(read(t, r.out, "catalog.yaml"), &catalog); err != nil {
		t.Fatal(err)
	}
	if catalog.Kind != "PluginCatalog" || len(catalog.Plugins) != 1 || catalog.Plugins[0].License != "Apache-2.0" {
		t.Errorf("catalog %+v", catalog)
	}
}

// krewPlugin is what Krew reads, field by field.
type krewPlugin struct {
	APIVersion, Kind string
	Metadata         struct{ Name string }
	Spec             struct {
		Version, Homepage, ShortDescription, Description string
		Platforms                                        []struct {
			Selector         struct{ MatchLabels map[string]string }
			URI, Sha256, Bin string
			Files            []struct{ From, To string }
		}
	}
}

// TestKrewManifestFitsItsArchives looks at every file that Krew would take out of an archive: make release installs it
// with Krew itself.
func TestKrewManifestFitsItsArchives(t *testing.T) {
	out := one(t)
	var p krewPlugin
	if err := yaml.UnmarshalStrict(read(t, out, "krew.yaml"), &p); err != nil {
		t.Fatal(err)
	}
	if p.APIVersion != "krew.googlecontainertools.github.com/v1alpha2" || p.Metadata.Name != "backstop" || p.Spec.Version != "v1.2.3" ||
		p.Spec.ShortDescription == "" || strings.Contains(p.Spec.ShortDescription, "\n") {
		t.Errorf("plugin %+v", p)
	}
	for _, one := range p.Spec.Platforms {
		name := one.URI[strings.LastIndex(one.URI, "/")+1:]
		if got := sum(read(t, out, name)); got != one.Sha256 {
			t.Errorf("%s has the checksum %s, the manifest says %s", name, got, one.Sha256)
		}
		files := unpack(t, filepath.Join(out, name))
		for _, f := range one.Files {
			if files[f.From] == "" {
				t.Errorf("%s has no %s", name, f.From)
			}
		}
		if files[one.Bin] == "" {
			t.Errorf("%s has no program %s", name, one.Bin)
		}
	}
}
