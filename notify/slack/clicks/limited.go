package clicks

import (
	"container/list"
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// What a stranger may cost before Slack's signature is checked.
const (
	// maxConnections is how many connections are open at a time.
	maxConnections = 256
	// headerWithin is how long a request's header may take, and maxHeader how large it may be: Slack's have a dozen lines.
	headerWithin = 5 * time.Second
	maxHeader    = 16 << 10
	// idleFor is how long a connection may say nothing between two requests.
	idleFor = time.Minute
)

// Serve answers on a listener until the server that it gives is closed. ended hears of an error that ends it before.
func Serve(l net.Listener, h http.Handler, ended func(error)) *http.Server {
	return serve(limit(l, maxConnections), h, ended)
}

func serve(c *limited, h http.Handler, ended func(error)) *http.Server {
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: headerWithin, WriteTimeout: 30 * time.Second, IdleTimeout: idleFor,
		MaxHeaderBytes: maxHeader, ConnContext: withConnection,
	}
	go func() { ended(srv.Serve(c)) }()
	return srv
}

// limited is a listener with so many places. Where all are taken the connection goes that is open for the longest and
// has never brought a request that Slack signed; where all have, the oldest: so that slow strangers keep nobody out.
type limited struct {
	net.Listener
	most int

	mu sync.Mutex
	// strangers and proved are the open connections, the oldest in front.
	strangers, proved list.List
}

func limit(l net.Listener, most int) *limited { return &limited{Listener: l, most: most} }

// Accept takes the next connection.
func (c *limited) Accept() (net.Conn, error) {
	in, err := c.Listener.Accept()
	if err != nil {
		return nil, err //nolint:wrapcheck // net/http knows the listener's errors
	}
	c.mu.Lock()
	var goes *member
	if c.strangers.Len()+c.proved.Len() >= c.most {
		goes = c.oldest()
	}
	m := &member{Conn: in, of: c}
	m.in, m.place = &c.strangers, c.strangers.PushBack(m)
	c.mu.Unlock()
	if goes != nil {
		_ = goes.Close()
	}
	return m, nil
}

// oldest is who goes. The caller holds the lock.
func (c *limited) oldest() *member {
	first := c.strangers.Front()
	if first == nil {
		first = c.proved.Front()
	}
	m, _ := first.Value.(*member)
	m.leave()
	return m
}

// member is a connection in a crowd.
type member struct {
	net.Conn
	of *limited
	// in is the list that it is in, and place where; nil once it has left.
	in    *list.List
	place *list.Element
}

// leave gives the place up. The caller holds the crowd's lock.
func (m *member) leave() {
	if m.in != nil {
		m.in.Remove(m.place)
		m.in = nil
	}
}

// Close closes the connection.
func (m *member) Close() error {
	m.of.mu.Lock()
	m.leave()
	m.of.mu.Unlock()
	return m.Conn.Close() //nolint:wrapcheck // net/http knows the connection's errors
}

// prove reports that Slack's request came over it.
func (m *member) prove() {
	m.of.mu.Lock()
	defer m.of.mu.Unlock()
	if m.in == &m.of.strangers {
		m.leave()
		m.in, m.place = &m.of.proved, m.of.proved.PushBack(m)
	}
}

// connectionKey is where a request's context has its connection.
type connectionKey struct{}

func withConnection(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, c)
}

// prove says of a request's connection that Slack's request came over it.
func prove(ctx context.Context) {
	if m, ok := ctx.Value(connectionKey{}).(*member); ok {
		m.prove()
	}
}
