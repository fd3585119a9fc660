package proxy

import (
	"net"
	"sync"
)

// door is a listener that can be shut: then it drops the connections it let in
// and whoever knocks. It can be mute: then the connections stand, and nothing
// that is sent on them arrives, either way.
type door struct {
	net.Listener

	mu     sync.Mutex
	closed bool
	mute   chan struct{}
	inside map[net.Conn]struct{}
}

func newDoor(l net.Listener) *door {
	return &door{Listener: l, inside: map[net.Conn]struct{}{}}
}

// Accept gives the next connection that is let in.
func (d *door) Accept() (net.Conn, error) {
	for {
		conn, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if guest := d.admit(conn); guest != nil {
			return guest, nil
		}
		_ = conn.Close()
	}
}

func (d *door) admit(conn net.Conn) net.Conn {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	d.inside[conn] = struct{}{}
	return &guest{Conn: conn, door: d}
}

func (d *door) shut(closed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = closed
	if !closed {
		return
	}
	for conn := range d.inside {
		_ = conn.Close()
		delete(d.inside, conn)
	}
}

// hush makes the door mute, or ends that: then the connections are dropped, for what was sent on them is lost.
func (d *door) hush(mute bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if mute == (d.mute != nil) {
		return
	}
	if mute {
		d.mute = make(chan struct{})
		return
	}
	close(d.mute)
	d.mute = nil
	for conn := range d.inside {
		_ = conn.Close()
		delete(d.inside, conn)
	}
}

func (d *door) muted() chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mute
}

// guest is a connection that leaves the door's list when it is closed.
type guest struct {
	net.Conn
	door *door
}

// Read gives what arrives; while the door is mute nothing does.
func (g *guest) Read(b []byte) (int, error) {
	n, err := g.Conn.Read(b)
	if mute := g.door.muted(); mute != nil {
		<-mute
		return 0, net.ErrClosed
	}
	return n, err
}

// Write sends; while the door is mute nothing arrives, and nobody says so.
func (g *guest) Write(b []byte) (int, error) {
	if g.door.muted() != nil {
		return len(b), nil
	}
	return g.Conn.Write(b)
}

// Close ends the connection.
func (g *guest) Close() error {
	g.door.mu.Lock()
	delete(g.door.inside, g.Conn)
	g.door.mu.Unlock()
	return g.Conn.Close()
}
