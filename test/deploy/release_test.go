package deploy_test

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/scripts/release"
)

// TestInstallOfTheOCIArtifact pulls the artifact as Flux does and applies what it finds.
func TestInstallOfTheOCIArtifact(t *testing.T) {
	env := environment(t)
	s := suite{env: env, admin: clientAs(t, env.Config, "")}
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	digest := "sha256:" + strings.Repeat("1", 64)
	made, err := release.Manifests(s.folder(""), "v1.2.3", digest)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(strings.TrimPrefix(server.URL, "http://") + "/manifests/backstop:v1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, made); err != nil {
		t.Fatal(err)
	}
	pulled, err := remote.Image(ref)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := pulled.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if got := manifest.Config.MediaType; got != "application/vnd.cncf.flux.config.v1+json" {
		t.Errorf("its configuration is a %s", got)
	}
	if got := manifest.Layers[0].MediaType; len(manifest.Layers) != 1 || got != "application/vnd.cncf.flux.content.v1.tar+gzip" {
		t.Errorf("%d layers, the first a %s", len(manifest.Layers), got)
	}
	layer, err := pulled.LayerByDigest(manifest.Layers[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := layer.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	untar(t, plain, dir)

	s.kubectl(t, "apply", "--server-side", "--force-conflicts", "--validate=strict", "-k", filepath.Join(dir, "default"))
	var d appsv1.Deployment
	if err := s.admin.Get(t.Context(), client.ObjectKey{Namespace: "backstop-system", Name: "backstop"}, &d); err != nil {
		t.Fatal(err)
	}
	if got, want := d.Spec.Template.Spec.Containers[0].Image, "ghcr.io/backstop-dev/backstop:v1.2.3@"+digest; got != want {
		t.Errorf("the image is %s, want %s", got, want)
	}
}

func untar(t *testing.T, plain io.Reader, dir string) {
	t.Helper()
	for in := tar.NewReader(plain); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		at := filepath.Join(dir, filepath.FromSlash(h.Name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, data, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestUpgradeFromTheLastReleaseWithOpenRollbacksAndHolds replaces the kinds of testdata/before by those of this
// checkout. Those are the last release's, and before there was one, those of an earlier commit: docs/releases.md says
// who puts them there.
func TestUpgradeFromTheLastReleaseWithOpenRollbacksAndHolds(t *testing.T) {
	env := environment(t)
	s := suite{env: env, admin: clientAs(t, env.Config, "")}
	// Whoever ran before, the default overlay reports who Backstop is.
	s.kubectl(t, "apply", "--server-side", "--force-conflicts", "-k", s.folder("default"))
	s.kubectl(t, "apply", "--server-side", "--force-conflicts", "-f", "testdata/before")
	s.create(t, `{apiVersion: v1, kind: Namespace, metadata: {name: upgrade}}`)
	c := s.almighty(t, backstop)

	policy := s.create(t, `{apiVersion: backstop.dev/v1alpha1, kind: RollbackPolicy, metadata: {namespace: upgrade, name: web},
		spec: {triggers: [{type: ImagePull, mode: Auto}]}}`)
	open, held := filled(), filled()
	open.Change, open.Landed, open.Request, open.Outcome, open.Lifted, open.Verdict = nil, nil, nil, nil, nil, nil
	held.Lifted = nil
	// The records of before have no holds by place.
	open.Holds, held.Holds = nil, nil
	before := map[string]v1alpha1.RollbackStatus{"open": open, "held": held}
	for name, status := range before {
		rb := &v1alpha1.Rollback{
			ObjectMeta: metav1.ObjectMeta{Namespace: "upgrade", Name: name},
			Spec:       v1alpha1.RollbackSpec{OpenedFor: v1alpha1.TriggerImagePull, Subject: v1alpha1.ImageSubject("web:v2")},
		}
		eventually(t, func(ctx context.Context) error { return c.Create(ctx, rb) })
		rb.Status = status
		if err := c.Status().Update(t.Context(), rb); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		// The server takes a moment to serve the kinds that it was given: it has when it reads what it wrote.
		var stored v1alpha1.Rollback
		eventually(t, func(ctx context.Context) error {
			if err := c.Status().Update(ctx, rb); err != nil {
				return err
			}
			if err := c.Get(ctx, client.ObjectKeyFromObject(rb), &stored); err != nil {
				return err
			}
			if diff := cmp.Diff(rb.Status, stored.Status); diff != "" {
				return fmt.Errorf("%s is read otherwise than it was written: %s", name, diff)
			}
			return nil
		})
		before[name] = stored.Status
	}

	s.kubectl(t, "apply", "--server-side", "--force-conflicts", "-k", s.folder("default"))

	next := filled()
	for name, was := range before {
		var rb v1alpha1.Rollback
		if err := c.Get(t.Context(), client.ObjectKey{Namespace: "upgrade", Name: name}, &rb); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(was, rb.Status); diff != "" {
			t.Errorf("%s (-before +after):\n%s", name, diff)
		}
		if name == "held" != rb.Status.HoldStands() {
			t.Errorf("%s: a hold stands: %t", name, rb.Status.HoldStands())
		}
		// Both go on where they were: the one is decided, the other's hold is lifted.
		if name == "open" {
			rb.Status.Verdict, rb.Status.Change = next.Verdict, next.Change
		} else {
			rb.Status.Lifted = next.Lifted
		}
		if err := c.Status().Update(t.Context(), &rb); err != nil {
			t.Errorf("%s does not go on: %v", name, err)
		}
	}
	var after v1alpha1.RollbackPolicy
	if err := s.admin.Get(t.Context(), client.ObjectKeyFromObject(policy), &after); err != nil {
		t.Fatal(err)
	}
	after.Spec.Suspend = true
	if err := s.admin.Update(t.Context(), &after); err != nil {
		t.Errorf("the policy cannot be changed any more: %v", err)
	}
}
