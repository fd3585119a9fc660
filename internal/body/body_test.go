package body

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// handler answers with what became of a body.
func handler(r *Reader, read chan<- error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		raw, err := r.Read(w, req)
		read <- err
		_, _ = w.Write(raw)
	})
}

func TestWhoReadsForTheLongestGivesHisPlaceUp(t *testing.T) {
	read := make(chan error, 10)
	srv := httptest.NewServer(handler(&Reader{AtOnce: 2, Most: 10, Slowest: time.Minute}, read))
	defer srv.Close()
	for range 4 {
		c, err := net.Dial("tcp", strings.TrimPrefix(srv.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := <-read; !errors.Is(err, ErrTooSlow) {
			t.Errorf("one of the first two: %v", err)
		}
	}
	// Who sends all of it at once has a place.
	res, err := http.Post(srv.URL, "", strings.NewReader("all"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if raw, err := io.ReadAll(res.Body); err != nil || string(raw) != "all" {
		t.Errorf("%q, %v", raw, err)
	}
}

func TestABodyHasItsBounds(t *testing.T) {
	never, _ := io.Pipe()
	for name, tt := range map[string]struct {
		body    io.Reader
		slowest time.Duration
		want    error
	}{
		"one that fits":         {bytes.NewReader(make([]byte, 10)), time.Minute, nil},
		"one that is too large": {bytes.NewReader(make([]byte, 11)), time.Minute, ErrTooLarge},
		"one that never comes":  {never, 50 * time.Millisecond, ErrTooSlow},
	} {
		t.Run(name, func(t *testing.T) {
			read := make(chan error, 1)
			srv := httptest.NewServer(handler(&Reader{AtOnce: 1, Most: 10, Slowest: tt.slowest}, read))
			defer srv.Close()
			go func() {
				if res, err := http.Post(srv.URL, "", tt.body); err == nil {
					_ = res.Body.Close()
				}
			}()
			if err := <-read; !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			srv.CloseClientConnections()
		})
	}
}
