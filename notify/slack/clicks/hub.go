package clicks

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"
)

// NewHub makes a Hub without apps.
func NewHub(d *Handler, o HubOptions) *Hub {
	if o.Lines <= 0 {
		o.Lines = 2
	}
	if o.Stagger <= 0 {
		o.Stagger = 10 * time.Second
	}
	if o.Ping <= 0 {
		o.Ping = 30 * time.Second
	}
	if o.Again <= 0 {
		o.Again = time.Minute
	}
	return &Hub{handler: d, opts: o, listeners: map[[sha256.Size]byte]*listener{}}
}

// Set reports which apps there are now. Connections of apps that stay are left alone; those of others are closed once
// their clicks are recorded. The context is that of the leadership: its end closes all.
func (h *Hub) Set(ctx context.Context, apps []App) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.apps.Store(&apps)
	wanted := h.handler.listening(apps)
	for key, l := range h.listeners {
		if a, stays := wanted[key]; !stays || a.API != l.app.API {
			l.stop()
			delete(h.listeners, key)
		}
	}
	for key, a := range wanted {
		if h.listeners[key] == nil && ctx.Err() == nil {
			h.listeners[key] = listen(ctx, h, a)
		}
	}
}

// Troubles says by Provider why clicks are not heard, or may be heard by others; a Provider without trouble is missing.
func (h *Hub) Troubles() map[string]string {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := map[string]string{}
	for _, l := range h.listeners {
		why := l.trouble()
		if why == "" {
			continue
		}
		for _, a := range l.heard() {
			out[a.Provider] = why
		}
	}
	return out
}

// Close ends all connections, and waits for the clicks and answers that are under way.
func (h *Hub) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	var ending sync.WaitGroup
	for key, l := range h.listeners {
		ending.Go(l.stop)
		delete(h.listeners, key)
	}
	ending.Wait()
	h.apps.Store(nil)
	h.handler.Wait()
}
