package watcher

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

const bareBackOff = `Back-off pulling image "registry.test/web:v2"`

func TestFirstErrors(t *testing.T) {
	t.Parallel()
	now := noon()
	f := newFirstErrors(func() time.Time { return now })
	first, later := waitingFor(failingPod("a")), waitingFor(failingPod("a", says("ImagePullBackOff", bareBackOff)))

	f.note("a", first)
	now = now.Add(time.Minute)
	f.note("a", later)
	got := f.recall("a", later[0], now)
	if got.Cause != v1alpha1.CauseNotFound || !got.Since.Time.Equal(noon()) {
		t.Errorf("%s since %s after a bare back-off, want the first error and its time", got.Cause, got.Since)
	}
	f.note("b", later)
	f.note("b", first)
	if got := f.recall("b", later[0], now); got.Cause != v1alpha1.CauseNotFound {
		t.Errorf("%s, want the better words although they came second", got.Cause)
	}
	f.forget("a")
	if got := f.recall("a", later[0], now); got.Cause != v1alpha1.CauseUnknown || !got.Since.Time.Equal(now) {
		t.Errorf("%s since %s of a pod that is gone, want nothing remembered", got.Cause, got.Since)
	}
}

func TestFirstErrorsAreBounded(t *testing.T) {
	t.Parallel()
	f := newFirstErrors(noon)
	all := waitingFor(failingPod("a"))
	for i := range mostRemembered + 100 {
		f.note(types.UID(fmt.Sprint(i)), all)
	}
	if len(f.pods) != mostRemembered || f.count != mostRemembered {
		t.Errorf("%d pods, count %d, want both %d", len(f.pods), f.count, mostRemembered)
	}
	f.forget("0")
	f.note("another", all)
	if _, ok := f.pods["another"]; !ok || f.count != mostRemembered {
		t.Errorf("a pod that left made no room: count %d", f.count)
	}
}

func TestNothingRememberedWithoutAWatcher(t *testing.T) {
	t.Parallel()
	var f *FirstErrors
	if got := f.recall("a", waitingFor(failingPod("a"))[0], noon()); got.Cause != v1alpha1.CauseNotFound {
		t.Errorf("%s, want what the pod says now", got.Cause)
	}
}
