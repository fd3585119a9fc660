package proxy

import (
	"net"
	"sync"
)

// door is a listener that can be shut: then it drops the connections it let in
// and whoever knocks.
type door struct {
	net.Listener

	mu     sync.Mutex
	closed bool
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

// guest is a connection that leaves the door's list when it is closed.
type guest struct {
	net.Conn
	door *door
}

// Close ends the connection.
func (g *guest) Close() error {
	g.door.mu.Lock()
	delete(g.door.inside, g.Conn)
	g.door.mu.Unlock()
	return g.Conn.Close()
}
