// Package console prints what happens to Rollbacks, a line for each news, for whoever watches a sidecar run.
package console

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/notify"
)

// waiting is how many lines are kept for a reader that is slower than the news.
const waiting = 256

// Teller prints to a writer from a goroutine of its own, so that nothing waits for a terminal.
type Teller struct {
	now   func() time.Time
	lines chan string
	done  chan struct{}
	once  sync.Once
}

// New starts to print. Stop ends it.
func New(w io.Writer, now func() time.Time) *Teller {
	t := &Teller{now: now, lines: make(chan string, waiting), done: make(chan struct{})}
	go func() {
		defer close(t.done)
		for line := range t.lines {
			_, _ = io.WriteString(w, line)
		}
	}()
	return t
}

// Tell queues a line for each news; when too many wait they are dropped, since the Rollback is the record.
func (t *Teller) Tell(before, after *v1alpha1.Rollback) {
	for _, n := range notify.WhatsNew(before, after) {
		mark := " "
		if n.Warning {
			mark = "!"
		}
		line := fmt.Sprintf("%s %s %s/%s  %-16s  %s\n", t.now().UTC().Format("15:04:05"), mark, after.Namespace, after.Name,
			n.Reason, text.Visible(n.Text()))
		select {
		case t.lines <- line:
		default:
		}
	}
}

// Stop prints what is queued and ends. Nothing may be told afterwards.
func (t *Teller) Stop() {
	t.once.Do(func() { close(t.lines) })
	<-t.done
}
