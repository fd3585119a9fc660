package watcher

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationv1 "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
)

// Election describes how replicas agree on the one that works.
type Election struct {
	// Leases writes the Lease.
	Leases coordinationv1.LeasesGetter
	// Namespace and Name of the Lease.
	Namespace, Name string
	// Identity of this replica, which no other may have.
	Identity string
	// LeaseDuration is how long the others wait for a leader that does not answer; 35 s when zero.
	LeaseDuration time.Duration
	// RenewDeadline is how long the leader tries to renew before it stops; 30 s when zero.
	RenewDeadline time.Duration
	// RetryPeriod is how often everybody tries; 5 s when zero.
	RetryPeriod time.Duration
	// Known is called when a leader is known, this replica or another one; nil tells nobody.
	Known func()
	// Log; nil discards.
	Log *slog.Logger
}

// ErrLostLease means that another replica may have taken over: the process ends and starts anew as a follower.
var ErrLostLease = errors.New("the lease was lost")

// Lead waits for the lease, runs, and gives the lease up after run has returned. run's context ends when ctx does or
// when the lease is lost, which is ErrLostLease. Leases do not fence: what must not happen twice is decided on the
// branch itself.
//
//	ctx ends ──► run's context ends ──► run returns ──► lease given up ──► Lead returns
func Lead(ctx context.Context, e Election, run func(context.Context) error) error {
	if e.Log == nil {
		e.Log = slog.New(slog.DiscardHandler)
	}
	led := make(chan context.Context, 1)
	lock, elector, err := e.elector(func(leading context.Context) { led <- leading })
	if err != nil {
		return fmt.Errorf("lead with Lease %s/%s: %w", e.Namespace, e.Name, err)
	}
	// client-go stops to renew as soon as its context ends, so that it gets one that ends after run.
	holding, letGo := context.WithCancel(context.WithoutCancel(ctx))
	defer letGo()
	follower := context.AfterFunc(ctx, letGo)
	over := make(chan struct{})
	go func() {
		defer close(over)
		elector.Run(klog.NewContext(holding, logr.FromSlogHandler(e.Log.Handler())))
	}()

	var leading context.Context
	select {
	case leading = <-led:
	case <-over:
		if ctx.Err() == nil {
			return ErrLostLease
		}
		return nil
	}
	if !follower() {
		// The stop came with the lease: nothing was begun.
		<-over
		e.release(ctx, lock)
		return nil
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(leading, stop)() //nolint:contextcheck // leading ends with the lease
	err = run(running)
	if leading.Err() != nil {
		return errors.Join(ErrLostLease, err)
	}
	letGo()
	<-over
	e.release(ctx, lock)
	return err
}

// elector leaves the release of the lease to Lead: client-go's own may hang on an API server that does not answer, and
// run would go on all that time.
func (e *Election) elector(lead func(context.Context)) (resourcelock.Interface, *leaderelection.LeaderElector, error) {
	lock := &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: e.Namespace, Name: e.Name},
		Client:     e.Leases,
		LockConfig: resourcelock.ResourceLockConfig{Identity: e.Identity},
	}
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock:          lock,
		LeaseDuration: cmp.Or(e.LeaseDuration, 35*time.Second),
		RenewDeadline: cmp.Or(e.RenewDeadline, 30*time.Second),
		RetryPeriod:   cmp.Or(e.RetryPeriod, 5*time.Second),
		Name:          e.Name,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: lead,
			OnStoppedLeading: func() {},
			OnNewLeader: func(id string) {
				e.Log.Info("leader", "identity", id, "self", id == e.Identity)
				if e.Known != nil {
					e.Known()
				}
			},
		},
	})
	return lock, elector, err
}

// releaseTimeout is short: a lease that cannot be given up runs out.
const releaseTimeout = 3 * time.Second

// release gives the lease up, if it is still this replica's.
func (e *Election) release(ctx context.Context, lock resourcelock.Interface) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	record, _, err := lock.Get(ctx)
	if err == nil && record.HolderIdentity == e.Identity {
		now := metav1.Now()
		err = lock.Update(ctx, resourcelock.LeaderElectionRecord{
			LeaderTransitions: record.LeaderTransitions, LeaseDurationSeconds: 1, RenewTime: now, AcquireTime: now,
		})
	}
	if err != nil {
		e.Log.Warn("the lease could not be given up and has to run out", "lease", e.Namespace+"/"+e.Name, "error", err)
	}
}
