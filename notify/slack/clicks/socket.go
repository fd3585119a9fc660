package clicks

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/slack-go/slack"
	"github.com/slack-go/slack/socketmode"

	"github.com/backstop-dev/backstop/internal/text"
)

const (
	// clicksAtOnce is how many clicks of an app are judged at a time. More wait in the client's own queue.
	clicksAtOnce = 8
	// maxMessage of Socket Mode: a click brings its card along.
	maxMessage = 1 << 20
)

// listen starts to hear an app until ctx ends or stop is called.
func listen(ctx context.Context, h *Hub, app App) *listener {
	ctx, cancel := context.WithCancel(ctx)
	l := &listener{
		hub: h, app: app, cancel: cancel, done: make(chan struct{}), room: make(chan struct{}, clicksAtOnce),
		lines: make([]lineState, h.opts.Lines),
	}
	var lines sync.WaitGroup
	for n := range l.lines {
		lines.Go(func() { l.keep(ctx, n) })
	}
	go func() {
		defer close(l.done)
		lines.Wait()
		h.handler.Metrics.leave(app.Provider)
		h.handler.forget(app.API)
	}()
	return l
}

// stop ends it once its clicks are recorded and acknowledged.
func (l *listener) stop() {
	l.cancel()
	<-l.done
}

// keep keeps one connection open. slack-go reconnects by itself; what it gives up on, tokens that are refused, is tried
// again now and then: they may be let in again, and others come with Set.
func (l *listener) keep(ctx context.Context, n int) {
	if !pause(ctx, time.Duration(n)*l.hub.opts.Stagger) {
		return
	}
	for {
		err := (&line{listener: l, n: n}).connect(ctx)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errRecount) {
			if !pause(ctx, l.hub.opts.Stagger/2) {
				return
			}
			continue
		}
		l.update(n, func(s *lineState) { s.open, s.tries, s.why = false, s.tries+2, words(err) })
		if !pause(ctx, l.hub.opts.Again) {
			return
		}
	}
}

// words are what an error says, which may quote all that came.
func words(err error) string { return text.Mask(text.CutBytes(err.Error(), 2000)) }

// pause waits, and reports whether there is still something to do.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// connect runs a client until it gives up or ctx ends. The client outlives ctx until its clicks are done.
func (l *line) connect(ctx context.Context) error {
	running, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	l.client = socketmode.New(l.app.API, socketmode.OptionDialer(l.dialer()),
		socketmode.OptionPingInterval(l.hub.opts.Ping), socketmode.OptionReadLimit(maxMessage),
		socketmode.OptionLog(silence{}))
	var ended error
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			// The library is not ours, and a proxy's answer can bring it down.
			if p := recover(); p != nil {
				ended = fmt.Errorf("slack-go failed: %v", p)
			}
		}()
		ended = l.client.RunContext(running)
	}()
	var why error
	recount := time.NewTimer(l.hub.opts.Again)
	defer recount.Stop()
	for why == nil {
		select {
		case <-done:
			l.judging.Wait()
			l.closed()
			return ended
		case <-ctx.Done():
			why = ctx.Err()
		case <-recount.C:
			if l.counted() > 0 {
				why = errRecount
			}
			recount.Reset(l.hub.opts.Again)
		case e := <-l.client.Events:
			l.event(ctx, e)
		}
	}
	l.judging.Wait()
	// What was acknowledged last still waits in the client for its turn to be written.
	l.flush()
	end()
	<-done
	l.closed()
	return why
}

// errRecount ends a connection so that the next one's hello reports how many there are by then.
var errRecount = errors.New("count the connections again")

func (l *line) counted() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines[l.n].others
}

// flush gives the client a moment to write what it was given.
func (l *line) flush() {
	timer := time.NewTimer(50 * time.Millisecond)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return
		case <-l.client.Events: // a full queue of events would hold the writer up
		}
	}
}

func (l *line) event(ctx context.Context, e socketmode.Event) {
	switch e.Type {
	case socketmode.EventTypeConnecting:
		l.closed()
	case socketmode.EventTypeConnectionError:
		why := "the connection failed"
		if failed, ok := e.Data.(*slack.ConnectionErrorEvent); ok && failed.ErrorObj != nil {
			why = words(failed.ErrorObj)
		}
		l.update(l.n, func(s *lineState) { s.tries, s.why = s.tries+1, why })
	case socketmode.EventTypeHello:
		l.opened(e.Request)
	case socketmode.EventTypeInteractive:
		if e.Request != nil {
			l.envelope(ctx, e.Request.EnvelopeID, e.Request.Payload)
		}
	case socketmode.EventTypeErrorBadMessage:
		l.spoilt(ctx, e)
	case socketmode.EventTypeEventsAPI, socketmode.EventTypeSlashCommand:
		envelope := ""
		if e.Request != nil {
			envelope = e.Request.EnvelopeID
		}
		l.ignore(ctx, string(e.Type), envelope)
	case socketmode.EventTypeErrorWriteFailed:
		l.hub.handler.Log.Warn("slack: an acknowledgement could not be sent", "provider", l.app.Provider)
	default:
	}
}

// ignore acknowledges what Backstop did not subscribe to, so that Slack does not send it again.
func (l *line) ignore(ctx context.Context, kind, envelope string) {
	l.hub.handler.Metrics.ignored.WithLabelValues(kind).Inc()
	if envelope != "" {
		_ = l.client.AckCtx(ctx, envelope, nil)
	}
}

// spoilt reads what slack-go could not: one bad field anywhere in a message makes it refuse the whole click.
func (l *line) spoilt(ctx context.Context, e socketmode.Event) {
	var env struct {
		Type       string          `json:"type"`
		EnvelopeID string          `json:"envelope_id"`
		Payload    json.RawMessage `json:"payload"`
	}
	bad, ok := e.Data.(*socketmode.ErrorBadMessage)
	if !ok || json.Unmarshal(bad.Message, &env) != nil {
		l.ignore(ctx, "malformed", "")
		return
	}
	if env.Type != socketmode.RequestTypeInteractive {
		l.ignore(ctx, "unknown", env.EnvelopeID)
		return
	}
	l.envelope(ctx, env.EnvelopeID, env.Payload)
}

// envelope judges a click beside the loop. Only when all places are taken the loop waits.
func (l *line) envelope(ctx context.Context, id string, payload []byte) {
	handler := l.hub.handler
	c, err := parse(payload)
	if err != nil {
		handler.Metrics.click(Unreadable, 0)
		l.ignore(ctx, "no-click", id)
		return
	}
	l.room <- struct{}{}
	l.judging.Go(func() {
		defer func() { <-l.room }()
		a, app := handler.take(ctx, l.heard(), c)
		if a.Acknowledge() {
			sending, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			if err := l.client.AckCtx(sending, id, nil); err != nil {
				handler.Log.Warn("slack: a click could not be acknowledged", "provider", l.app.Provider)
			}
		}
		handler.reply(ctx, app, c, a)
	})
}

// heard are the Providers that these lines hear for, each with the app's ID that Slack said.
func (l *listener) heard() []App {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := []App{l.app}
	for _, a := range l.hub.all() {
		if a.Provider != l.app.Provider && l.hub.handler.hearsFor(l.app, a) {
			a.ID = l.app.ID
			out = append(out, a)
		}
	}
	return out
}

func (l *line) opened(hello *socketmode.Request) {
	if hello == nil {
		return
	}
	l.left.Store(math.MaxInt64)
	l.update(l.n, func(s *lineState) {
		l.app.ID = hello.ConnectionInfo.AppID
		// All our lines are taken off, whether they are open by now or not.
		before := s.others
		s.open, s.tries, s.why, s.others = true, 0, "", max(0, hello.NumConnections-l.ours())
		s.shared = s.others > 0 && (s.hellos == 0 || before > 0)
		s.hellos++
	})
	l.hub.handler.Log.Info("slack connected", "provider", l.app.Provider, "line", l.n, "connections", hello.NumConnections,
		"app", clip(hello.ConnectionInfo.AppID))
}

// ours is how many lines all listeners of this app have.
func (l *listener) ours() int {
	ways := map[[sha256.Size]byte]bool{l.app.key(): true}
	for key, a := range l.hub.handler.listening(l.hub.all()) {
		if a.AppToken == l.app.AppToken {
			ways[key] = true
		}
	}
	return len(ways) * len(l.lines)
}

func (l *line) closed() {
	l.update(l.n, func(s *lineState) {
		if s.open {
			l.hub.handler.Metrics.ended.WithLabelValues(l.app.Provider).Inc()
		}
		s.open = false
	})
}

// update changes what a line knows, and the gauge with it.
func (l *listener) update(n int, change func(*lineState)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.lines[n])
	open := 0
	for _, s := range l.lines {
		if s.open {
			open++
		}
	}
	l.hub.handler.Metrics.connections.WithLabelValues(l.app.Provider).Set(float64(open))
}

// trouble explains why clicks are not heard, or not by us alone. One failed try is no trouble.
func (l *listener) trouble() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	open, others := 0, 0
	for _, s := range l.lines {
		if s.open {
			open++
		}
		if s.open && s.shared {
			others = max(others, s.others)
		}
	}
	switch first := l.lines[0]; {
	case open == 0 && first.tries >= 2:
		return fmt.Sprintf("Slack does not connect (%s): clicks are not heard; check appToken in the Secret, and the "+
			"proxy and NetworkPolicy on the way to wss://wss-primary.slack.com", first.why)
	case others > 0:
		return fmt.Sprintf("another installation uses this Slack app too (%d connections are not ours), and clicks go to "+
			"any of them: make an app for each cluster", others)
	}
	return ""
}
