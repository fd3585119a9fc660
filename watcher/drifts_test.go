package watcher

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// preferences is what Git and Flux want, and how often they were asked.
type wishes struct {
	mu    sync.Mutex
	want  reconcile.Want
	err   error
	asked int
}

func (w *wishes) Want(context.Context, string, v1alpha1.Workload, time.Time, map[string][]string) (reconcile.Want, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked++
	return w.want, w.err
}

func (w *wishes) say(change func(*wishes)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(w)
}

func (w *wishes) times() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.asked
	w.asked = 0
	return n
}

func (w *wishes) options() Options { return Options{Wants: func() Wanter { return w }} }

func gitSays(image string) *wishes {
	return &wishes{want: reconcile.Want{
		Images: map[string]string{"web": image},
		Applied: reconcile.Applied{Commit: "0123456789abcdef", Again: reconcile.Again{When: "at about 12:10:00 UTC", Next: noon().Add(10 * time.Minute)},
			Reconciler: v1alpha1.ObjectRef{Kind: "Kustomization", Namespace: "flux-system", Name: "apps"}},
	}}
}

func ownsField(manager, owned string) metav1.ManagedFieldsEntry {
	e := metav1.ManagedFieldsEntry{Manager: manager, Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "apps/v1",
		FieldsType: "FieldsV1", FieldsV1: &metav1.FieldsV1{}, Time: &metav1.Time{Time: noon()}}
	e.FieldsV1.SetRawBytes([]byte(`{"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"web\"}":{"f:` + owned + `":{}}}}}}}`))
	return e
}

// flux makes a Deployment one that Flux applied.
func fluxDeployment(image string) *appsv1.Deployment {
	d := deployment(image)
	d.Labels["kustomize.toolkit.fluxcd.io/name"] = "apps"
	d.ManagedFields = []metav1.ManagedFieldsEntry{ownsField("kustomize-controller", "image")}
	return d
}

// undone makes it one that somebody undid with kubectl.
func undone(image string) *appsv1.Deployment {
	d := fluxDeployment(image)
	d.ManagedFields = []metav1.ManagedFieldsEntry{ownsField("kustomize-controller", "name"), ownsField("kubectl", "image")}
	return d
}

func TestAnUndoIsWalkedByWhatGitSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		git := gitSays(badImage)
		s, r := newAPIServer(t, fluxDeployment(badImage), replicaSet("web-h2", badImage)), &walks{}
		w := run(t, s, r, git.options())
		want(t, "a Deployment that Flux applied", r)
		d := fluxDeployment(badImage)
		d.Status.Replicas = 3
		s.put(t, d)
		want(t, "its status", r)
		if n := s.requests("/deployments/web") + s.requests("/replicasets") + git.times(); n != 0 {
			t.Errorf("%d requests for what nobody changed, want none", n)
		}
		s.put(t, undone(goodImage))
		want(t, "an undo", r, webKey)
		if got := w.Adrift(); len(got) != 1 || got[0].String() != "Deployment/app/web" {
			t.Errorf("adrift are %v", got)
		}
		if n := git.times(); n != 1 {
			t.Errorf("Git was asked %d times, want once", n)
		}
		d = undone(goodImage)
		d.Status.Replicas = 3
		s.put(t, d)
		want(t, "the status of what was undone", r)
		if n := git.times(); n != 0 {
			t.Errorf("Git was asked %d times for a status", n)
		}
		s.put(t, fluxDeployment(badImage))
		want(t, "Flux undoes it", r, webKey)
		if got := w.Adrift(); len(got) != 0 {
			t.Errorf("still adrift: %v", got)
		}
		w.end(t)
	})
}

func TestADriftFromBeforeTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := newAPIServer(t, undone(goodImage)), &walks{}
		w := run(t, s, r, gitSays(badImage).options())
		want(t, "at the start", r, webKey)
		s.remove("Deployment", "app", "web")
		want(t, "when it is deleted", r, webKey)
		w.end(t)
	})
}

func TestWhatIsNoDriftWalksNothing(t *testing.T) {
	for name, change := range map[string]func(*wishes){
		"Git says it":            func(w *wishes) { w.want.Images["web"] = goodImage },
		"Flux does not apply it": func(w *wishes) { w.want = reconcile.Want{NotFlux: "forged"} },
		"nothing tells what should run": func(w *wishes) {
			w.want.Images, w.want.Why = nil, map[string]string{"web": "no Secret"}
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			git := gitSays(badImage)
			change(git)
			s, r := newAPIServer(t, undone(goodImage)), &walks{}
			w := run(t, s, r, git.options())
			want(t, name, r)
			if said := strings.Contains(w.log.String(), "nothing tells what it should run"); said != strings.HasPrefix(name, "nothing") {
				t.Errorf("%s: the log says %v that nothing tells:\n%s", name, said, w.log)
			}
			w.end(t)
		})
	}
}

func TestAWorkloadThatFluxIsApplyingIsLookedAtAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		git := gitSays(badImage)
		git.want.Busy = "it builds"
		s, r := newAPIServer(t, undone(goodImage)), &walks{}
		w := run(t, s, r, git.options())
		time.Sleep(5 * time.Second)
		want(t, "while Flux applies", r)
		git.say(func(w *wishes) { w.want.Busy = "" })
		time.Sleep(2 * time.Second)
		want(t, "when it has applied", r, webKey)
		git.say(func(w *wishes) { w.err = errors.New("503") })
		s.put(t, undone("registry.test/web:v0"))
		time.Sleep(time.Second)
		if !strings.Contains(w.log.String(), "503") {
			t.Errorf("no line says why:\n%s", w.log)
		}
		git.say(func(w *wishes) { w.err = nil })
		time.Sleep(time.Minute)
		want(t, "when Flux can be asked again", r, webKey)
		w.end(t)
	})
}

func TestFailingTellsOfADrift(t *testing.T) {
	key := reconcile.ImageKey("app", badImage)
	look := func(t *testing.T, d *appsv1.Deployment, git *wishes, known ...v1alpha1.Workload) (reconcile.PodsSeen, error) {
		t.Helper()
		s := newAPIServer(t, d, replicaSet("web-h2", badImage))
		pods := &Pods{Client: s.clients(t).Core, Now: noon, Wants: git.options().Wants,
			Adrift: func(reconcile.Key) []v1alpha1.Workload { return []v1alpha1.Workload{{Kind: "Deployment", Name: "web"}} }}
		return pods.Failing(t.Context(), key, known)
	}
	got, err := look(t, undone(goodImage), gitSays(badImage))
	if err != nil || len(got.Failures) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	at, undoneAt := micro(noon()), micro(noon().Add(10*time.Minute))
	wantDrift := &v1alpha1.Drift{Live: goodImage, By: "kubectl", At: &at, Undone: "at about 12:10:00 UTC", UndoneAt: &undoneAt,
		UndoneBy: &v1alpha1.ObjectRef{Kind: "Kustomization", Namespace: "flux-system", Name: "apps"},
		Read: []string{"managedFields: kubectl owns the image since 12:00:00 UTC, and Flux does not any more",
			"Git at 0123456789ab says " + badImage},
		Unread: []string{"history: no ReplicaSets of it are there"}}
	if diff := cmp.Diff(wantDrift, got.Failures[0].Drift); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got.Failures[0].Cause != v1alpha1.CauseDrift || got.Restored != "" || got.Labels["Deployment/web"]["tier"] != "front" {
		t.Errorf("got %+v", got)
	}
	again, err := look(t, undone(goodImage), gitSays(badImage))
	if err != nil || again.Failures[0].Revision != got.Failures[0].Revision {
		t.Errorf("the same drift has another revision: %q, %q, %v", got.Failures[0].Revision, again.Failures[0].Revision, err)
	}
	back, err := look(t, fluxDeployment(badImage), gitSays(badImage))
	if err != nil || len(back.Failures) > 0 || back.Restored != "Deployment/web" {
		t.Errorf("undone: %+v, %v", back, err)
	}
	other, err := look(t, fluxDeployment("registry.test/web:v3"), gitSays("registry.test/web:v3"))
	if err != nil || len(other.Failures) > 0 || other.Restored != "" {
		t.Errorf("something newer: %+v, %v", other, err)
	}
	// Flux has taken the fields over, and not put its image in yet.
	var later *reconcile.RetryAfter
	between := gitSays(badImage)
	between.want.Busy = "it applies"
	if _, err := look(t, fluxDeployment(goodImage), between); !errors.As(err, &later) {
		t.Errorf("while Flux undoes it: %v", err)
	}
	busy := gitSays(badImage)
	busy.want.Busy = "it builds"
	if _, err := look(t, undone(goodImage), busy); !errors.As(err, &later) {
		t.Errorf("while Flux applies: %v", err)
	}
}

func TestLabelsAreReadWithoutGit(t *testing.T) {
	git := gitSays(badImage)
	s := newAPIServer(t, undone(goodImage))
	pods := &Pods{Client: s.clients(t).Core, Now: noon, Wants: git.options().Wants}
	owners, err := pods.Owners(t.Context(), "app", []v1alpha1.Workload{{Kind: "Deployment", Name: "web"}, {Kind: "Deployment", Name: "gone"}, {Kind: "Pod", Name: "gone"}})
	if got := owners.Labels; err != nil || len(got) != 1 || got["Deployment/web"]["tier"] != "front" || git.times() != 0 {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestSlimWorkload(t *testing.T) {
	for kind, o := range map[string]any{
		"Deployment": undone(goodImage), "StatefulSet": statefulSet("1", goodImage), "DaemonSet": daemonSet("1", goodImage),
		"CronJob": cronJob(goodImage),
	} {
		slim := slimWorkload(kind)
		got, err := slim(o)
		if err != nil {
			t.Fatal(err)
		}
		w, ok := got.(*keptWorkload)
		if !ok || w.Name != "web" || w.GetManagedFields() != nil || len(w.suspects) != len(slices.DeleteFunc([]string{kind}, func(k string) bool { return k != "Deployment" })) {
			t.Errorf("%s: kept %+v", kind, got)
		}
		if again, err := slim(got); err != nil || again != got {
			t.Errorf("%s: stripped twice: %v, %v", kind, again, err)
		}
		if _, err := slim("a string"); err == nil {
			t.Errorf("%s took a string", kind)
		}
	}
}

func TestADriftToALongImageFitsTheRecord(t *testing.T) {
	f := &found{}
	f.container.Image = "reg.example/" + strings.Repeat("team/", 60) + "app:v2"
	at := micro(time.Date(2026, 11, 29, 1, 2, 3, 0, time.UTC))
	f.Drift.At = &at
	got := f.failure(&holder{}, at.Time).Revision
	if n := len([]rune(got)); n > 253 || !strings.HasSuffix(got, "… at 2026-11-29T01:02:03Z") {
		t.Errorf("the revision has %d characters: %s", n, got)
	}
}
