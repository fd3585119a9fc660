package drift

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

const (
	good = "localhost:5000/backend:staging-v1.0.0-1700000001"
	bad  = "localhost:5000/backend:staging-v1.1.0-1700000200"
)

// captured reads an object of a real cluster.
func captured[T any](t testing.TB, name string) *T {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	out := new(T)
	if err := json.Unmarshal(raw, out); err != nil {
		t.Fatal(err)
	}
	return out
}

func suspectsOf(d *appsv1.Deployment) []Container {
	var images []Image
	for _, c := range d.Spec.Template.Spec.InitContainers {
		images = append(images, Image{c.Name, c.Image})
	}
	for _, c := range d.Spec.Template.Spec.Containers {
		images = append(images, Image{c.Name, c.Image})
	}
	return Suspects("Deployment", d, images)
}

// entry is what a manager owns of the container backend.
func entry(manager string, fields ...string) metav1.ManagedFieldsEntry {
	var owned strings.Builder
	for i, f := range fields {
		if i > 0 {
			owned.WriteString(",")
		}
		owned.WriteString(`"f:` + f + `":{}`)
	}
	e := metav1.ManagedFieldsEntry{Manager: manager, Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "apps/v1",
		FieldsType: "FieldsV1", FieldsV1: &metav1.FieldsV1{}, Time: &metav1.Time{Time: noon}}
	e.FieldsV1.SetRawBytes([]byte(`{"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"backend\"}":{` +
		owned.String() + `}}}}}}`))
	return e
}

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func TestSuspects(t *testing.T) {
	undone := Container{Name: "backend", Image: good, By: "kubectl", At: time.Date(2026, 11, 21, 9, 20, 51, 0, time.UTC)}
	fields := func(entries ...metav1.ManagedFieldsEntry) func(*appsv1.Deployment) {
		return func(d *appsv1.Deployment) { d.ManagedFields = entries }
	}
	mark := func(key, value string) func(*appsv1.Deployment) {
		return func(d *appsv1.Deployment) { d.Annotations[key] = value }
	}
	by := func(who string) []Container { return []Container{{Name: "backend", Image: good, By: who, At: noon}} }
	broken := entry("kubectl")
	broken.FieldsV1.SetRawBytes([]byte(`{"f:spec":{"k:{"`))
	scale := entry("flagger", "image")
	scale.Subresource = "scale"
	tests := map[string]struct {
		from   string
		change func(*appsv1.Deployment)
		want   []Container
	}{
		"before the undo Flux owns the image":                                       {from: "deploy-before-undo.json"},
		"after the undo kubectl does":                                               {want: []Container{undone}},
		"without Flux's labels it is nobody's business: Flagger's primary has none": {change: func(d *appsv1.Deployment) { d.Labels = nil }},
		"the labels of a HelmRelease count too": {change: func(d *appsv1.Deployment) {
			d.Labels = map[string]string{"helm.toolkit.fluxcd.io/name": "backend"}
		}, want: []Container{undone}},
		"Flux is told to ignore it by annotation":  {change: mark("kustomize.toolkit.fluxcd.io/ssa", "ignore")},
		"Flux only makes it where it is not there": {change: mark("kustomize.toolkit.fluxcd.io/ssa", "IfNotPresent")},
		"its reconciliation is disabled":           {change: mark("kustomize.toolkit.fluxcd.io/reconcile", "Disabled")},
		"a merge is still put back":                {change: mark("kustomize.toolkit.fluxcd.io/ssa", "Merge"), want: []Container{undone}},
		"its label disables the reconciliation":    {change: func(d *appsv1.Deployment) { d.Labels["kustomize.toolkit.fluxcd.io/reconcile"] = "disabled" }},
		"helm-controller applied it":               {change: fields(entry("helm-controller", "image", "name"))},
		"Helm went back by itself": {change: fields(entry("helm-controller", "image", "name"),
			entry("kubectl", "env"))},
		"helm rollback by hand":                        {change: fields(entry("helm-controller", "name"), entry("helm", "image")), want: by("helm")},
		"flux-operator applied it":                     {change: fields(entry("flux-operator", "image", "name"))},
		"an older helm-controller updated it":          {change: fields(entry("helm-controller", "image", "name"), entry("kubectl", "env"))},
		"two managers that agree on the image":         {change: fields(entry("kustomize-controller", "image"), entry("kubectl-edit", "image"))},
		"kubectl edit":                                 {change: fields(entry("kustomize-controller", "name"), entry("kubectl-edit", "image")), want: by("kubectl-edit")},
		"kubectl set image":                            {change: fields(entry("kustomize-controller", "name"), entry("kubectl-set", "image")), want: by("kubectl-set")},
		"a patch by another controller":                {change: fields(entry("kustomize-controller", "name"), entry("keel", "image")), want: by("keel")},
		"Flagger scales":                               {change: fields(entry("kustomize-controller", "name", "image"), scale)},
		"a container that Flux never applied":          {change: fields(entry("istio-operator", "image", "name"))},
		"who changed something else owns no image":     {change: fields(entry("kustomize-controller", "image", "name"), entry("kubectl-edit", "env"))},
		"a manager's name that would break a sentence": {change: fields(entry("kustomize-controller", "name"), entry("evil\n<!channel>\x00", "image")), want: by("evil <!channel>")},
		"an entry that cannot be parsed leaves the owner": {change: fields(entry("kustomize-controller", "name"), broken), want: []Container{{
			Name: "backend", Image: good, Unread: `the managedFields entry of kubectl cannot be read: `}}},
		"an entry that cannot be parsed does not matter where Flux owns the image": {change: fields(entry("kustomize-controller", "image"), broken)},
		"no managedFields at all":                              {change: fields(), want: []Container{{Name: "backend", Image: good, Unread: "the object has no managedFields"}}},
		"managedFields that were taken away before the change": {change: fields(entry("before-first-apply", "name"), entry("kubectl-set", "image")), want: by("kubectl-set")},
		"nobody owns the image": {change: fields(entry("kustomize-controller", "name")), want: []Container{{
			Name: "backend", Image: good, Unread: "no managedFields entry owns the image"}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			from := "deploy-after-undo.json"
			if tt.from != "" {
				from = tt.from
			}
			d := captured[appsv1.Deployment](t, from)
			if tt.change != nil {
				tt.change(d)
			}
			got := suspectsOf(d)
			for i := range got {
				// The library's words differ from version to version.
				if cut, _, ok := strings.Cut(got[i].Unread, "cannot be read: "); ok {
					got[i].Unread = cut + "cannot be read: "
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestSuspectsOfACronJob(t *testing.T) {
	e := entry("kubectl-edit", "image")
	e.FieldsV1.SetRawBytes([]byte(`{"f:spec":{"f:jobTemplate":` + string(e.FieldsV1.GetRawBytes()) + `}}`))
	own := entry("kustomize-controller", "name")
	own.FieldsV1.SetRawBytes([]byte(`{"f:spec":{"f:jobTemplate":` + string(own.FieldsV1.GetRawBytes()) + `}}`))
	o := &metav1.ObjectMeta{Labels: map[string]string{"kustomize.toolkit.fluxcd.io/name": "apps"},
		ManagedFields: []metav1.ManagedFieldsEntry{own, e}}
	got := Suspects("CronJob", o, []Image{{"backend", good}})
	if len(got) != 1 || got[0].By != "kubectl-edit" {
		t.Errorf("got %+v, want kubectl-edit", got)
	}
	if got := Suspects("Deployment", o, []Image{{"backend", good}}); len(got) != 0 {
		t.Errorf("the fields of a CronJob are taken for a Deployment's: %+v", got)
	}
}

// left is the history of a workload whose container backend had images, oldest first.
func left(images ...string) History {
	h := History{Of: "ReplicaSets"}
	for i, image := range images {
		h.Revisions = append(h.Revisions, Revision{Number: int64(i + 1), Made: noon.Add(time.Duration(i) * time.Hour),
			Images: map[string]string{"backend": image}})
	}
	return h.sorted()
}

func TestTheCapturedUndo(t *testing.T) {
	d := captured[appsv1.Deployment](t, "deploy-after-undo.json")
	sets := captured[appsv1.ReplicaSetList](t, "rs-after-undo.json")
	history := ReplicaSets(d.UID, sets.Items)
	if len(history.Revisions) != 2 || history.Unread != "" {
		t.Fatalf("%d revisions, unread %q: another Deployment's must not count", len(history.Revisions), history.Unread)
	}
	c := suspectsOf(d)[0]
	if diff := cmp.Diff([]string{bad, good}, history.Candidates(c)); diff != "" {
		t.Errorf("candidates, -want +got:\n%s", diff)
	}
	at := v1alpha1.NewTime(c.At)
	want := Finding{Git: bad, Drift: v1alpha1.Drift{Live: good, By: "kubectl", At: &at, From: "2", To: "1", Read: []string{
		"managedFields: kubectl owns the image since 09:20:51 UTC, and Flux does not any more",
		"ReplicaSets: revision 2 with " + bad + " was left for revision 1",
		"Git at 0123456789ab says " + bad,
	}}}
	if diff := cmp.Diff(want, Judge(Facts{Container: c, History: history, Git: bad, Commit: "0123456789abcdef"})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestJudge(t *testing.T) {
	const digest = "@sha256:aaaa"
	tests := map[string]struct {
		live, git string
		history   History
		unsaid    string
		not       string
		wantGit   string
		from, to  string
		unread    []string
	}{
		"undo before the controller has counted": {live: good, git: bad, history: left(good, bad), wantGit: bad, from: "2", to: "1"},
		"undo to an older revision": {live: "r/b:1", git: "r/b:3", wantGit: "r/b:3", from: "3", to: "1", history: History{Of: "ReplicaSets", Revisions: []Revision{
			{Number: 4, Before: []int64{1}, Images: map[string]string{"backend": "r/b:1"}},
			{Number: 3, Images: map[string]string{"backend": "r/b:3"}}, {Number: 2, Images: map[string]string{"backend": "r/b:2"}},
		}}},
		"an image that was never there": {live: "r/b:9", git: "r/b:2", history: left("r/b:1", "r/b:2", "r/b:9"), wantGit: "r/b:2", from: "2"},
		"a set's undo, whose revision keeps its age": {live: "r/b:1", git: "r/b:2", wantGit: "r/b:2", from: "2", to: "the one of 2026-11-21 12:00:00 UTC", history: History{
			Of: "ControllerRevisions", Revisions: []Revision{
				{Number: 3, Made: noon, Images: map[string]string{"backend": "r/b:1"}},
				{Number: 2, Made: noon.Add(time.Hour), Images: map[string]string{"backend": "r/b:2"}},
			}}},
		"Git cannot be read: the revision that was left tells": {live: good, history: left(good, bad), unsaid: "no Secret", wantGit: bad, from: "2", to: "1", unread: []string{"Git: no Secret"}},
		"neither tells: nothing is guessed": {live: good, history: NoHistory("a CronJob keeps none"), unsaid: "no Secret",
			unread: []string{"Git: no Secret", "history: a CronJob keeps none"}},
		"the ReplicaSet that was left is missing": {live: good, git: bad, history: left(good), wantGit: bad, unread: []string{"history: none of the ReplicaSets has another image: what was left is missing"}},
		"no history, but Git":                     {live: good, git: bad, history: ReplicaSets("u", nil), wantGit: bad, unread: []string{"history: no ReplicaSets of it are there"}},

		"pinned by digest to what it ran before, and Git cannot be read": {live: "r/b:1" + digest, history: left("r/b:1", "r/b:1"+digest), unsaid: "no Secret", not: "it runs what it ran before"},
		"Git says it by now":                                   {live: good, git: good, not: "it runs what Git says"},
		"pinned by digest to the tag that Git names":           {live: "r/b:1" + digest, git: "r/b:1", not: "it runs what Git says"},
		"the same image in Docker's short name":                {live: "docker.io/library/nginx:1", git: "nginx:1", not: "it runs what Git says"},
		"the same digest":                                      {live: "r/b" + digest, git: "r/b:1" + digest, not: "it runs what Git says"},
		"another digest of the same tag":                       {live: "r/b:1@sha256:bbbb", git: "r/b:1" + digest, wantGit: "r/b:1" + digest},
		"a digest alone is not the tag that Git names":         {live: "r/b" + digest, git: "r/b:latest", wantGit: "r/b:latest"},
		"a webhook's mirror with the same digest":              {live: "mirror.test/b:1" + digest, git: "r.test/b:1" + digest, not: "it runs what Git says, from another registry that a webhook put in"},
		"a webhook's mirror with a path before it":             {live: "mirror.test/hub/library/nginx:1" + digest, git: "nginx:1" + digest, not: "it runs what Git says, from another registry that a webhook put in"},
		"a webhook's mirror that earlier revisions had":        {live: "mirror.test/b:2", git: "r.test/b:2", history: left("mirror.test/b:1", "mirror.test/b:2"), not: "it runs what Git says, from another registry that a webhook put in"},
		"a registry that a person names for the first time":    {live: "evil.test/b:2", git: "r.test/b:2", history: left("r.test/b:1", "r.test/b:2", "evil.test/b:2"), wantGit: "r.test/b:2", from: "2"},
		"another repository of a mirror":                       {live: "mirror.test/c:1" + digest, git: "r.test/b:1" + digest, wantGit: "r.test/b:1" + digest},
		"a live image that is no reference":                    {live: "UPPER CASE", git: "r/b:1", wantGit: "r/b:1"},
		"a Git image that is no reference is compared as text": {live: "${IMAGE}", git: "${IMAGE}", not: "it runs what Git says"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := Judge(Facts{Container: Container{Name: "backend", Image: tt.live, By: "kubectl", At: noon}, History: tt.history,
				Git: tt.git, Commit: "c", Unsaid: tt.unsaid})
			if got.Not != tt.not {
				t.Fatalf("no drift because %q, want %q", got.Not, tt.not)
			}
			if tt.not != "" {
				return
			}
			if got.Git != tt.wantGit || got.Drift.From != tt.from || got.Drift.To != tt.to {
				t.Errorf("Git says %q, left %q for %q; want %q, %q, %q", got.Git, got.Drift.From, got.Drift.To, tt.wantGit, tt.from, tt.to)
			}
			if diff := cmp.Diff(tt.unread, got.Drift.Unread); diff != "" {
				t.Errorf("unread, -want +got:\n%s", diff)
			}
		})
	}
}

func TestControllerRevisions(t *testing.T) {
	owned := []metav1.OwnerReference{{UID: "u", Controller: new(true)}}
	all := []appsv1.ControllerRevision{
		{ObjectMeta: metav1.ObjectMeta{Name: "a", OwnerReferences: owned}, Revision: 1},
		{ObjectMeta: metav1.ObjectMeta{Name: "b", OwnerReferences: owned}, Revision: 2},
		{ObjectMeta: metav1.ObjectMeta{Name: "c"}, Revision: 9},
	}
	all[0].Data.Raw = []byte(`{"spec":{"template":{"spec":{"containers":[{"name":"backend","image":"r/b:1"}]}}}}`)
	all[1].Data.Raw = []byte(`{"spec":`)
	h := ControllerRevisions("u", all)
	if len(h.Revisions) != 1 || h.Revisions[0].Images["backend"] != "r/b:1" {
		t.Errorf("read %+v", h.Revisions)
	}
	if !strings.HasPrefix(h.Unread, "ControllerRevision b cannot be read: ") {
		t.Errorf("unread %q", h.Unread)
	}
}

func TestAReplicaSetWithoutANumberIsSaid(t *testing.T) {
	rs := appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: "x", OwnerReferences: []metav1.OwnerReference{{UID: "u", Controller: new(true)}}}}
	if h := ReplicaSets("u", []appsv1.ReplicaSet{rs}); h.Unread != "ReplicaSet x has no revision number" {
		t.Errorf("unread %q", h.Unread)
	}
}

// FuzzSuspects takes anything for managedFields and images.
func FuzzSuspects(f *testing.F) {
	d := captured[appsv1.Deployment](f, "deploy-after-undo.json")
	for _, e := range d.ManagedFields {
		f.Add(e.Manager, e.FieldsV1.GetRawBytes(), "backend", good)
	}
	f.Add("kubectl", []byte(`{"f:spec":{"k:{\"name\":1}":{}}}`), "", "")
	f.Add("", []byte(`{"v:{}":{},"i:-1":{},".":{}}`), `"`, "@")
	f.Fuzz(func(t *testing.T, manager string, fields []byte, container, image string) {
		e := metav1.ManagedFieldsEntry{Manager: manager, FieldsV1: &metav1.FieldsV1{}}
		e.FieldsV1.SetRawBytes(fields)
		o := &metav1.ObjectMeta{Labels: map[string]string{"kustomize.toolkit.fluxcd.io/name": "apps"},
			ManagedFields: []metav1.ManagedFieldsEntry{e}}
		for _, kind := range []string{"Deployment", "CronJob"} {
			for _, c := range Suspects(kind, o, []Image{{container, image}}) {
				if c.By == "" && c.Unread == "" {
					t.Errorf("neither an owner nor why there is none: %+v", c)
				}
				if isFlux(c.By) {
					t.Errorf("Flux is suspected: %+v", c)
				}
				got := Judge(Facts{Container: c, Git: image, Commit: "c"})
				if got.Not == "" && image != "" {
					t.Errorf("%q differs from itself: %+v", image, got)
				}
			}
		}
	})
}
