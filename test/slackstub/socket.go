package slackstub

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// maxConnections of one app, as Slack allows.
const maxConnections = 10

// socket is one Socket Mode connection.
type socket struct {
	id   int
	app  string
	conn *websocket.Conn
	gone chan struct{}
	once sync.Once

	write sync.Mutex
	mu    sync.Mutex
	acks  map[string]chan json.RawMessage
}

func (s *socket) close() {
	s.once.Do(func() {
		close(s.gone)
		_ = s.conn.Close()
	})
}

func (s *socket) send(v any) error {
	s.write.Lock()
	defer s.write.Unlock()
	_ = s.conn.SetWriteDeadline(time.Now().Add(2 * time.Second))
	return s.conn.WriteJSON(v)
}

// dropAll cuts every connection, without a close frame. The caller holds the lock.
func (w *Workspace) dropAll() {
	for _, s := range w.sockets {
		s.close()
	}
	w.sockets = nil
}

// connectionsOpen gives a URL with a ticket that opens one connection.
func connectionsOpen(c *call) (reply, string) {
	if n := len(c.w.socketsOf(c.app.ID)); n >= maxConnections {
		return nil, "too_many_websockets"
	}
	ticket := c.w.newID("ticket-")
	c.w.tickets[ticket] = c.app.ID
	scheme := "ws"
	if c.req.TLS != nil {
		scheme = "wss"
	}
	return reply{"url": fmt.Sprintf("%s://%s/link/?ticket=%s&app_id=%s", scheme, c.req.Host, ticket, c.app.ID)}, ""
}

// socketsOf are an app's open connections. The caller holds the lock.
func (w *Workspace) socketsOf(app string) []*socket {
	var out []*socket
	for _, s := range w.sockets {
		if s.app == app {
			out = append(out, s)
		}
	}
	return out
}

// Connections counts an app's open Socket Mode connections.
func (w *Workspace) Connections(app string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.socketsOf(app))
}

func (w *Workspace) serveSocket(rw http.ResponseWriter, req *http.Request) {
	ticket := req.URL.Query().Get("ticket")
	w.mu.Lock()
	app, ok := w.tickets[ticket]
	delete(w.tickets, ticket)
	w.mu.Unlock()
	if !ok {
		http.Error(rw, "Unauthorized", http.StatusUnauthorized)
		return
	}
	// Slack's own clients send Slack's Origin, which is not this host.
	up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	conn, err := up.Upgrade(rw, req, nil)
	if err != nil {
		return
	}
	s := &socket{app: app, conn: conn, gone: make(chan struct{}), acks: map[string]chan json.RawMessage{}}
	w.mu.Lock()
	w.serial++
	s.id = w.serial
	w.sockets = append(w.sockets, s)
	hello := w.hello(s)
	w.touch()
	w.mu.Unlock()
	defer w.forget(s)
	if s.send(hello) != nil {
		return
	}
	go w.ping(s)
	s.read()
}

// hello is the first message of a connection. The caller holds the lock.
func (w *Workspace) hello(s *socket) reply {
	return reply{
		"type": "hello", "num_connections": len(w.socketsOf(s.app)),
		"debug_info":      reply{"host": "applink-stub", "build_number": 1, "approximate_connection_time": 18060},
		"connection_info": reply{"app_id": s.app},
	}
}

func (w *Workspace) forget(s *socket) {
	s.close()
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, o := range w.sockets {
		if o == s {
			w.sockets = append(w.sockets[:i:i], w.sockets[i+1:]...)
			break
		}
	}
	w.touch()
}

func (w *Workspace) ping(s *socket) {
	tick := time.NewTicker(w.options.PingEvery)
	defer tick.Stop()
	for {
		_ = s.conn.WriteControl(websocket.PingMessage, []byte("Ping from stub"), time.Now().Add(time.Second))
		select {
		case <-tick.C:
		case <-s.gone:
			return
		}
	}
}

// maxAck is the size from which on Slack drops an acknowledgement silently.
const maxAck = 20 << 10

// read hands acknowledgements to who waits for them, until the connection ends.
func (s *socket) read() {
	defer s.close()
	for {
		_, raw, err := s.conn.ReadMessage()
		if err != nil {
			return
		}
		var ack struct {
			EnvelopeID string          `json:"envelope_id"`
			Payload    json.RawMessage `json:"payload"`
		}
		if len(raw) >= maxAck || json.Unmarshal(raw, &ack) != nil {
			continue
		}
		s.mu.Lock()
		waiting := s.acks[ack.EnvelopeID]
		delete(s.acks, ack.EnvelopeID)
		s.mu.Unlock()
		if waiting != nil {
			waiting <- ack.Payload
		}
	}
}

// Refresh asks every connection of an app to reconnect, as Slack does every few hours: a warning, and then the end.
// reason is refresh_requested, warning or link_disabled.
func (w *Workspace) Refresh(app, reason string) {
	w.mu.Lock()
	sockets := w.socketsOf(app)
	w.mu.Unlock()
	for _, s := range sockets {
		_ = s.send(reply{"type": "disconnect", "reason": reason, "debug_info": reply{"host": "applink-stub"}})
	}
}

// Drop cuts every connection of an app without a word.
func (w *Workspace) Drop(app string) {
	w.mu.Lock()
	sockets := w.socketsOf(app)
	w.mu.Unlock()
	for _, s := range sockets {
		s.close()
	}
}

// SendRaw writes a frame to every connection of an app, whatever it holds.
func (w *Workspace) SendRaw(app string, frame []byte) {
	w.mu.Lock()
	sockets := w.socketsOf(app)
	w.mu.Unlock()
	for _, s := range sockets {
		s.write.Lock()
		_ = s.conn.WriteMessage(websocket.TextMessage, frame)
		s.write.Unlock()
	}
}
