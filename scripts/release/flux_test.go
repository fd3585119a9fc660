//go:build support

// What Flux's own controllers make of a release. FLUX=DIR gives them, since they cannot be built here as modules.
package release

import (
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	ociregistry "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/backstop-dev/backstop/test/realflux"
	"github.com/backstop-dev/backstop/test/testenv"
)

// TestFluxVerifiesAndAppliesTheArtifact applies what docs/install.md tells people to write, with a registry on this
// machine and a key at hand in place of the workflow's identity.
func TestFluxVerifiesAndAppliesTheArtifact(t *testing.T) {
	dir := os.Getenv("FLUX")
	if dir == "" {
		t.Fatal("FLUX names no folder of Flux's controllers: run make support FLUX=DIR")
	}
	env, err := testenv.Start(t.Context(), testenv.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(env.Stop)
	kubectl := func(args ...string) string {
		t.Helper()
		out, err := env.Kubectl(t.Context(), args...)
		if err != nil {
			t.Fatalf("kubectl %q: %v\n%s", args, err, out)
		}
		return out
	}
	private, public := keys(t)
	_, stranger := keys(t)
	out := one(t)
	host := served(t, out, private)
	flux, err := realflux.Start(t.Context(), realflux.Options{Dir: dir, Env: env, Data: t.TempDir()})
	t.Cleanup(flux.Stop)
	if err != nil {
		t.Fatal(err)
	}
	kubectl("create", "namespace", "flux-system")
	for secret, key := range map[string]string{"cosign": public, "stranger": stranger} {
		kubectl("create", "secret", "generic", secret, "-n", "flux-system", "--from-file=cosign.pub="+key)
	}
	install := filepath.Join(t.TempDir(), "install.yaml")
	if err := os.WriteFile(install, []byte(documented(t, host)), 0o600); err != nil {
		t.Fatal(err)
	}
	kubectl("apply", "-f", install)

	source := func(condition string) {
		t.Helper()
		kubectl("wait", "-n", "flux-system", "ocirepository/backstop", "--for=condition="+condition, "--timeout=3m")
	}
	source("SourceVerified=True")
	source("Ready=True")
	kubectl("wait", "-n", "flux-system", "kustomization/backstop", "--for=condition=Ready=True", "--timeout=5m")
	_, digest, err := open(out, imageRepository)
	if err != nil {
		t.Fatal(err)
	}
	image := kubectl("get", "deploy", "backstop", "-n", "backstop-system", "-o", "jsonpath={.spec.template.spec.containers[0].image}")
	if want := "ghcr.io/backstop-dev/backstop:v1.2.3@" + digest.String(); image != want {
		t.Errorf("the image is %s, want %s", image, want)
	}

	kubectl("patch", "-n", "flux-system", "ocirepository/backstop", "--type=merge", "-p", `{"spec": {"ref": {"tag": "unsigned"}}}`)
	source("SourceVerified=False")
	kubectl("patch", "-n", "flux-system", "ocirepository/backstop", "--type=merge", "-p", `{"spec": {"ref": {"tag": "v1.2.3"}}}`)
	source("SourceVerified=True")
	kubectl("patch", "-n", "flux-system", "ocirepository/backstop", "--type=merge",
		"-p", `{"spec": {"verify": {"secretRef": {"name": "stranger"}}}}`)
	source("SourceVerified=False")

	// Uninstall, as docs/upgrade.md has it where Flux installed Backstop.
	kubectl("delete", "-n", "flux-system", "kustomization/backstop", "--timeout=3m")
	kubectl("wait", "--for=delete", "--timeout=3m", "namespace/backstop-system", "crd/rollbacks.backstop.dev",
		"crd/rollbackpolicies.backstop.dev", "clusterrole/backstop", "validatingadmissionpolicy/backstop-rollbacks")
}

// served signs a release and sends it to a registry on this machine, with an artifact under the tag unsigned that has
// the same manifests and other bytes.
func served(t *testing.T, out, private string) (host string) {
	t.Helper()
	if err := Run(t.Context(), []string{"sign", "-o", out, "-key", private}, io.Discard); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(ociregistry.New(ociregistry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	host = strings.TrimPrefix(server.URL, "http://")
	if err := Run(t.Context(), []string{"push", "-o", out, "-to", host}, io.Discard); err != nil {
		t.Fatal(err)
	}
	other, err := Manifests(filepath.Join(root, "deploy", "kustomize"), "v1.2.4", "sha256:"+strings.Repeat("1", 64))
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(host + "/" + manifestsRepository + ":unsigned")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, other); err != nil {
		t.Fatal(err)
	}
	return host
}

var (
	fluxBlock = regexp.MustCompile("(?s)```yaml\n([^`]*kind: OCIRepository[^`]*)```")
	identity  = regexp.MustCompile(`(?s)matchOIDCIdentity:\n.*?\n---`)
)

// documented is the manifest of docs/install.md for this registry and key. Nothing runs pods here, so that nothing
// waits for them.
func documented(t *testing.T, host string) string {
	t.Helper()
	m := fluxBlock.FindStringSubmatch(string(read(t, root, "docs/install.md")))
	if m == nil {
		t.Fatal("docs/install.md has no OCIRepository")
	}
	text := identity.ReplaceAllString(m[1], "secretRef: {name: cosign}\n---")
	for _, pair := range [][2]string{
		{"url: oci://ghcr.io/backstop-dev/manifests/backstop", "insecure: true\n  url: oci://" + host + "/" + manifestsRepository},
		{"tag: v0.1.0", "tag: v1.2.3"},
		{"wait: true", "wait: false"},
	} {
		if strings.Count(text, pair[0]) != 1 {
			t.Fatalf("docs/install.md does not say %q once", pair[0])
		}
		text = strings.Replace(text, pair[0], pair[1], 1)
	}
	return text
}
