package kube

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestOneReadServesAllWhoAskedBeforeItBegan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := Shared[int]{Now: time.Now}
		var reads atomic.Int64
		read := func(context.Context) (int, error) {
			n := int(reads.Add(1))
			time.Sleep(time.Second)
			return n, nil
		}
		ask := func(want int) {
			go func() {
				if got, err := s.Do(t.Context(), "x", time.Time{}, read); err != nil || got != want {
					t.Errorf("got read %d, %v; want %d", got, err, want)
				}
			}()
			synctest.Wait()
		}
		ask(1)
		for range 7 {
			ask(2) // The first one is under way: it may have seen too little.
		}
		time.Sleep(1500 * time.Millisecond)
		ask(3) // The second one is under way by now.
		time.Sleep(time.Minute)
		ask(4)
		time.Sleep(time.Minute)
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.keys) != 0 {
			t.Errorf("%d keys are kept", len(s.keys))
		}
	})
}

func TestAReadThatIsNewEnoughWillDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := Shared[int]{Now: time.Now}
		reads := 0
		read := func(context.Context) (int, error) {
			reads++
			time.Sleep(100 * time.Millisecond)
			if reads == 3 {
				return 0, errors.New("the API server is gone")
			}
			return reads, nil
		}
		begin := time.Now()
		for _, c := range []struct {
			name    string
			since   time.Time
			want    int
			wantErr bool
		}{
			{"the first reads", begin, 1, false},
			{"a read that began at that time will do", begin, 1, false},
			{"one that began earlier will not", begin.Add(50 * time.Millisecond), 2, false},
			{"what is wanted live is read", time.Time{}, 0, true},
			{"a failed read is not kept", begin, 2, false},
		} {
			got, err := s.Do(t.Context(), "x", c.since, read)
			if got != c.want || (err != nil) != c.wantErr {
				t.Errorf("%s: got read %d, %v; want %d", c.name, got, err, c.want)
			}
		}
		time.Sleep(Kept + time.Second)
		if _, err := s.Do(t.Context(), "y", time.Now(), read); err != nil {
			t.Error(err)
		}
		if _, ok := s.keys["x"]; ok {
			t.Error("an old read is kept")
		}
	})
}

func TestWhoReadsForOthersMayGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := Shared[int]{Now: time.Now}
		slow := func(ctx context.Context) (int, error) {
			select {
			case <-ctx.Done():
				return 0, ctx.Err()
			case <-time.After(time.Second):
				return 1, nil
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _, _ = s.Do(t.Context(), "x", time.Time{}, slow) }()
		synctest.Wait()
		go func() {
			if _, err := s.Do(ctx, "x", time.Time{}, slow); !errors.Is(err, context.Canceled) {
				t.Errorf("who gave up got %v", err)
			}
		}()
		synctest.Wait()
		go func() {
			if got, err := s.Do(t.Context(), "x", time.Time{}, slow); err != nil || got != 1 {
				t.Errorf("who joined it got %d, %v", got, err)
			}
		}()
		synctest.Wait()
		time.Sleep(1100 * time.Millisecond)
		cancel()
		time.Sleep(time.Minute)
	})
}

func TestReadsOfDifferentThingsAreNotShared(t *testing.T) {
	t.Parallel()
	s := Shared[string]{Now: time.Now}
	for _, key := range []string{"a", "b"} {
		got, err := s.Do(t.Context(), key, time.Time{}, func(context.Context) (string, error) { return key, nil })
		if err != nil || got != key {
			t.Errorf("asked for %s, got %s, %v", key, got, err)
		}
	}
}
