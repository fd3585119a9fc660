package integration

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	automationv1 "github.com/fluxcd/image-automation-controller/api/v1"
	reflectorv1 "github.com/fluxcd/image-reflector-controller/api/v1"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/test/fleet"
)

// What trace and doctor tests break things with, and do what a fix says with.

// do does what a fix says: flux and kubectl commands as those tools do, backstop's with the real one. What it leaves
// open, such as USER, is filled in with pairs, and what comes after a semicolon is for later.
func (w *World) do(command string, pairs ...string) {
	w.t.Helper()
	command, _, _ = strings.Cut(command, ";")
	words := strings.Fields(command)
	for i := range words {
		words[i] = strings.NewReplacer(pairs...).Replace(strings.Trim(words[i], "'"))
	}
	switch {
	case len(words) > 5 && words[0] == "flux" && (words[3] == "resume" || words[3] == "reconcile" || words[3] == "get"):
		flag := ""
		if last := words[len(words)-1]; strings.HasPrefix(last, "--") {
			flag, words = strings.TrimPrefix(last, "--"), words[:len(words)-1]
		}
		kind, name := fluxKinds()[strings.Join(words[4:len(words)-1], " ")], words[len(words)-1]
		args := []string{"-n", words[2], "patch", kind, name, "--type=merge", "-p"}
		switch now := strconv.FormatInt(time.Now().UnixNano(), 10); {
		case words[3] == "get":
			args = []string{"-n", words[2], "get", kind, name, "--ignore-not-found"}
		case words[3] == "resume":
			args = append(args, `{"spec":{"suspend":false}}`)
		case flag == "":
			args = append(args, fmt.Sprintf(`{"metadata":{"annotations":{"reconcile.fluxcd.io/requestedAt":%q}}}`, now))
		default: // as flux reconcile helmrelease --force and --reset
			args = append(args, fmt.Sprintf(`{"metadata":{"annotations":{"reconcile.fluxcd.io/requestedAt":%q,"reconcile.fluxcd.io/%sAt":%[1]q}}}`, now, flag))
		}
		_, err := w.Env.Kubectl(w.t.Context(), args...)
		w.must(err)
	case words[0] == "kubectl":
		_, err := w.Env.Kubectl(w.t.Context(), words[1:]...)
		w.must(err)
	case words[0] == "backstop":
		if out, code := w.runBackstop(w.Env.Kubeconfig, words[1:]...); code != 0 {
			w.t.Fatalf("%s: %d\n%s", command, code, out)
		}
	default:
		w.t.Fatalf("nobody knows how to do: %s", command)
	}
}

// edit changes an object of Flux's, as a person does in Git.
func edit[T client.Object](w *World, o T, namespace, name string, change func(T)) {
	w.t.Helper()
	patch := changed(w, o, namespace, name, change)
	w.must(w.Client.Patch(w.t.Context(), o, patch))
}

// changed reads an object, changes it, and gives what is to be written.
func changed[T client.Object](w *World, o T, namespace, name string, change func(T)) client.Patch {
	w.t.Helper()
	o.SetNamespace(namespace)
	o.SetName(name)
	Object(w, o)
	was := o.DeepCopyObject().(client.Object)
	change(o)
	return client.MergeFrom(was)
}

// fluxKinds are Flux's objects as its command names them.
func fluxKinds() map[string]string {
	return map[string]string{
		"image repository": "imagerepository", "image policy": "imagepolicy", "image update": "imageupdateautomation",
		"source git": "gitrepository", "source oci": "ocirepository", "kustomization": "kustomization", "helmrelease": "helmrelease",
	}
}

// editStatus changes what a controller says of an object.
func editStatus[T client.Object](w *World, o T, namespace, name string, change func(T)) {
	w.t.Helper()
	patch := changed(w, o, namespace, name, change)
	w.must(w.Client.Status().Patch(w.t.Context(), o, patch))
}

// words fills the names of a world into a manifest, and what else is to be filled in.
func (w *World) words(text string, pairs ...string) string {
	return strings.NewReplacer(append(pairs, "NSF", w.Fleet.FluxNamespace(), "NS2", w.Fleet.Namespace("staging"), "NS", w.Fleet.Namespace(prod),
		"IMAGE", w.Fleet.Registry+"/"+backend, "TAG", fleet.Tag(prod, 0))...).Replace(text)
}

// file writes a file to Git; an empty text takes it away.
func file(path, text string) func(w *World) {
	return func(w *World) {
		w.must(w.Alice.Pull(w.t.Context()))
		w.must(w.Alice.Write(map[string]string{path: w.words(text)}))
		_, err := w.Alice.Push(w.t.Context(), "Write "+path)
		w.must(err)
	}
}

// inGit replaces words in a file in Git.
func inGit(path, old, now string) func(w *World) {
	return func(w *World) {
		_, err := w.Alice.Change(w.t.Context(), path, "Edit", func(s string) string {
			return strings.ReplaceAll(s, w.words(old), w.words(now))
		})
		w.must(err)
	}
}

func releaseSpec(change func(*helmv2.HelmReleaseSpec)) func(w *World) {
	return func(w *World) {
		edit(w, &helmv2.HelmRelease{}, w.Fleet.Namespace(prod), "shop", func(o *helmv2.HelmRelease) { change(&o.Spec) })
	}
}

// Shorthands for the objects that are changed.

func scanSpec(change func(*reflectorv1.ImageRepositorySpec)) func(w *World) {
	return func(w *World) {
		edit(w, &reflectorv1.ImageRepository{}, w.Fleet.Namespace(prod), backend, func(o *reflectorv1.ImageRepository) { change(&o.Spec) })
	}
}

func policySpec(change func(*reflectorv1.ImagePolicySpec)) func(w *World) {
	return func(w *World) {
		edit(w, &reflectorv1.ImagePolicy{}, w.Fleet.Namespace(prod), backend, func(o *reflectorv1.ImagePolicy) { change(&o.Spec) })
	}
}

func automationSpec(change func(*automationv1.ImageUpdateAutomationSpec)) func(w *World) {
	return func(w *World) {
		edit(w, &automationv1.ImageUpdateAutomation{}, w.Fleet.Namespace(prod), prod, func(o *automationv1.ImageUpdateAutomation) { change(&o.Spec) })
	}
}

func sourceSpec(change func(*sourcev1.GitRepositorySpec)) func(w *World) {
	return func(w *World) {
		edit(w, &sourcev1.GitRepository{}, w.Fleet.FluxNamespace(), fleet.SourceName, func(o *sourcev1.GitRepository) { change(&o.Spec) })
	}
}

func applySpec(change func(*kustomizev1.KustomizationSpec)) func(w *World) {
	return func(w *World) {
		edit(w, &kustomizev1.Kustomization{}, w.Fleet.FluxNamespace(), prod, func(o *kustomizev1.Kustomization) { change(&o.Spec) })
	}
}

// inFile replaces words in the app's manifest, in Git.
func inFile(old, now string) func(w *World) { return inGit("apps/production/backend.yaml", old, now) }

func all(steps ...func(w *World)) func(w *World) {
	return func(w *World) {
		for _, s := range steps {
			s(w)
		}
	}
}

// by mends with steps that the fix describes in words.
func by(steps ...func(w *World)) func(w *World, fix string) {
	return func(w *World, _ string) { all(steps...)(w) }
}

func publish(tag string) func(w *World) { return func(w *World) { w.Publish(backend, tag) } }
