package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
)

// shapes are ways to write an app's manifest, by the app's name. All of them mean the same.
var shapes = map[string]func(w *World, text string) string{
	"multi": func(w *World, text string) string {
		return "# The first document.\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: multi, namespace: " + w.Fleet.Namespace(prod) +
			"}\ndata:\n  a: 'x'\n\n\n  spaced:   'kept?'\n---\n" + text
	},
	"crlf": func(_ *World, text string) string { return strings.ReplaceAll(text, "\n", "\r\n") },
	"bom":  func(_ *World, text string) string { return "\ufeff" + text },
	"anchors": func(_ *World, text string) string {
		return strings.Replace(text, "image: ", "image: &img ", 1) + "      initContainers:\n        - name: first\n          image: *img\n"
	},
	"indent": func(_ *World, text string) string {
		head, image, _ := strings.Cut(text, "        - name: indent\n          image: ")
		image, marker, _ := strings.Cut(image, " ")
		return strings.ReplaceAll(head, "  ", "    ") + "            -   name:   indent\n                image:   '" + image + "'   " + marker
	},
	"open": func(_ *World, text string) string { return strings.TrimSuffix(text, "\n") },
}

// shaped is a fleet with one app of each shape.
func shaped(s *setup) {
	for app := range shapes {
		s.Fleet.Apps = append(s.Fleet.Apps, app)
	}
	slices.Sort(s.Fleet.Apps)
	s.Vary = func(w *World) {
		for app, shape := range shapes {
			file := w.Fleet.File(prod, app)
			w.Fleet.Files[file] = shape(w, w.Fleet.Deployment(prod, app))
		}
	}
}

// allBad publishes the next image of every app, which no node can run, and waits until all are selected.
func (w *World) allBad() {
	w.t.Helper()
	for _, app := range w.Fleet.Apps {
		w.publishBad(app, fleet.Tag(prod, 1))
	}
	for _, app := range w.Fleet.Apps {
		w.selected(prod, app, fleet.Tag(prod, 1))
	}
}

// allUndone waits until every app is verified and runs, and compares the files at the tip, but for their holds.
func (w *World) allUndone(suspect string, want map[string]string) {
	w.t.Helper()
	for _, app := range w.Fleet.Apps {
		r := w.ends(prod, w.Fleet.Image(app, fleet.Tag(prod, 1)), v1alpha1.ResultVerified)
		if r.Status.Suspect.Commit != suspect {
			w.t.Errorf("blamed %s for %s, want %s", r.Status.Suspect.Commit, app, suspect)
		}
		file := w.Fleet.File(prod, app)
		text := w.blob(fleet.Branch, file)
		if got := holdPrefix.ReplaceAllString(text, ""); got != want[file] {
			w.t.Errorf("%s ends as\n%q\nwant but for the hold\n%q", file, got, want[file])
		}
		if strings.Contains(text, "$imagepolicy") && len(holdPrefix.FindAllString(text, -1)) != 1 {
			w.t.Errorf("%s is not held:\n%s", file, text)
		}
		w.runs(prod, app, fleet.Tag(prod, 0))
	}
}

// A file that was edited since is edited as bytes: nothing but the value moves.
func TestMultiDocumentCRLFBOMAnchorsFlowStyleNoFinalNewline(t *testing.T) {
	t.Parallel()
	w := world(t, quick, shaped, func(s *setup) {
		s.Fleet.Apps = append(s.Fleet.Apps, "flow")
		others := s.Vary
		s.Vary = func(w *World) {
			others(w)
			// Image automation does not see a marker behind a flow mapping, so none is written.
			head, _, _ := strings.Cut(w.Fleet.Deployment(prod, "flow"), "      containers:")
			w.Fleet.Files[w.Fleet.File(prod, "flow")] = fmt.Sprintf("%s      containers: [{name: flow, image: \"%s\"}] # one line\n",
				head, w.Fleet.Image("flow", fleet.Tag(prod, 0)))
		}
	})
	startSidecar(t, w)
	w.auto(prod, anyone)
	w.Settle()
	w.automationRests(prod, true)
	w.allBad()
	// Two commits in one push: the images as automation means them, then a person's edit of every file.
	w.must(w.Alice.Pull(t.Context()))
	write := func(message, before, after string, of func(string) string) map[string]string {
		files := map[string]string{}
		for _, app := range w.Fleet.Apps {
			file := w.Fleet.File(prod, app)
			if files[file] = strings.ReplaceAll(of(file), before, after); files[file] == of(file) {
				t.Fatalf("%s does not hold %q", file, before)
			}
		}
		w.must(w.Alice.Write(files))
		w.hands([]string{"commit", "--quiet", "--all", "-m", message})
		return files
	}
	written := write("Update images", fleet.Tag(prod, 0), fleet.Tag(prod, 1), func(file string) string { return w.blob(fleet.Branch, file) })
	suspect, err := w.Alice.Git(t.Context(), "rev-parse", "HEAD")
	w.must(err)
	edited := write("Say who asked for it", "replicas: 1", "replicas:  1 # Bob's — naïve", func(file string) string { return written[file] })
	w.hands([]string{"push", "--quiet", "origin", fleet.Branch})
	for file, text := range edited {
		edited[file] = strings.ReplaceAll(text, fleet.Tag(prod, 1), fleet.Tag(prod, 0))
	}
	w.allUndone(suspect, edited)
}

// What nobody touched since is what it was before, layout and all: image
// automation wrote the whole file again, and all of that is undone.
func TestWriteBackThatReserialisedTheFile(t *testing.T) {
	t.Parallel()
	w := world(t, quick, shaped)
	startSidecar(t, w)
	w.auto(prod)
	w.Settle()
	w.automationRests(prod, true)
	before, want := w.Tip(), map[string]string{}
	for _, app := range w.Fleet.Apps {
		want[w.Fleet.File(prod, app)] = w.blob(before, w.Fleet.File(prod, app))
	}
	w.allBad()
	w.automationRests(prod, false)
	suspect := w.next(before)
	for file, text := range want {
		after := w.blob(suspect, file)
		if exact := strings.ReplaceAll(text, fleet.Tag(prod, 0), fleet.Tag(prod, 1)); after == exact && !strings.Contains(file, "anchors") {
			t.Errorf("%s was not written anew:\n%q", file, after)
		}
	}
	w.allUndone(suspect, want)
}

func Test5MBFile(t *testing.T) {
	t.Parallel()
	w := world(t, quick, vary(func(w *World) {
		file := w.Fleet.File(prod, "backend")
		// Four bytes a letter: YAML is read letter by letter, and under the race detector that takes its time.
		half := strings.Repeat("# "+strings.Repeat("🐳", 100)+"\n", 6_500)
		w.Fleet.Files[file] = half + w.Fleet.Files[file] + half
	}))
	startSidecar(t, w)
	w.auto(prod)
	w.Settle()
	file, good, newer := w.Fleet.File(prod, "backend"), fleet.Tag(prod, 0), fleet.Tag(prod, 1)
	before := w.Tip()
	bad := w.publishBad("backend", newer)
	suspect := w.next(before)
	text := w.blob(suspect, file)
	if len(text) < 5_000_000 {
		t.Fatalf("the file has %d bytes", len(text))
	}
	w.patiently("five megabytes are read and written", 3*patience, w.hasEnded(prod, bad))
	r := w.ends(prod, bad, v1alpha1.ResultVerified, "runs "+w.Fleet.Image("backend", good))
	if r.Status.Suspect.Commit != suspect {
		t.Errorf("blamed %s, want %s", r.Status.Suspect.Commit, suspect)
	}
	// The files are too long to be printed where they differ.
	if w.git("rev-parse", r.Status.Change.Commit+"^{tree}") != w.git("rev-parse", suspect+"^^{tree}") {
		t.Error("the revert's tree is not git revert's")
	}
	if held := w.blob(r.Status.Change.Hold, file); holdPrefix.ReplaceAllString(held, "") != w.blob(before, file) || !strings.Contains(held, "backstop:hold") {
		t.Error("the hold changed more than its prefix")
	}
	w.runs(prod, "backend", good)
}

func TestSOPSFile(t *testing.T) {
	t.Parallel()
	w := world(t, quick, vary(func(w *World) {
		w.Fleet.Files[w.Fleet.File(prod, "backend")] += "sops:\n  mac: ENC[AES256_GCM,data:bWFj,iv:aXY=,tag:dGFn,type:str]\n" +
			"  lastmodified: \"2026-11-21T09:00:00Z\"\n  encrypted_regex: ^(data|stringData)$\n  version: 3.9.4\n"
	}))
	startSidecar(t, w)
	w.auto(prod)
	w.Settle()
	file := w.Fleet.File(prod, "backend")
	bad := w.publishBad("backend", fleet.Tag(prod, 1))
	suspect := w.wroteBack(prod, "backend", fleet.Tag(prod, 1))
	r := w.ends(prod, bad, v1alpha1.ResultSourceNotFound, file, "encrypted with SOPS", "by hand")
	if r.Status.Change != nil {
		t.Errorf("the change is %+v, want none", r.Status.Change)
	}
	w.staysAt(suspect)
	// What is no business of SOPS goes on.
	w.Publish("frontend", fleet.Tag(prod, 1))
	w.runs(prod, "frontend", fleet.Tag(prod, 1))
}
