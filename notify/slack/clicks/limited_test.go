package clicks

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/backstop-dev/backstop/notify/slack/card"
	"github.com/backstop-dev/backstop/test/slackstub"
)

// strangers are requests that begin and do not end.
var strangers = map[string]func() string{
	"who say nothing":            func() string { return "" },
	"who end no header":          func() string { return "POST / HTTP/1.1\r\nHost: x\r\nX-Slow: " },
	"who send no body":           func() string { return "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" },
	"who promise too much":       func() string { return "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n" },
	"who send no chunk":          func() string { return "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" },
	"who look as if they signed": func() string { return "POST / HTTP/1.1\r\nHost: x\r\n" + signature() + "Content-Length: 1000\r\n\r\np" },
	"who sign chunks": func() string {
		return "POST / HTTP/1.1\r\nHost: x\r\n" + signature() + "Transfer-Encoding: chunked\r\n\r\n1\r\np\r\n"
	},
}

// signature is a header that could be Slack's.
func signature() string {
	h := http.Header{}
	slackstub.Sign(h, "a stranger's", time.Now(), nil)
	var lines strings.Builder
	_ = h.Write(&lines)
	return lines.String()
}

// open serves the world's app as the sidecar does, with fewer places, and gives the address.
func (w *world) open(most int) string {
	w.t.Helper()
	w.hub = NewHub(w.handler, quick)
	w.app.AppToken = ""
	w.hub.Set(w.t.Context(), []App{w.app})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	addr := l.Addr().String()
	ended := make(chan error, 1)
	srv := serve(limit(l, most), NewInteractivity(w.hub), func(err error) { ended <- err })
	w.t.Cleanup(func() {
		_ = srv.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			w.t.Errorf("the server ended with %v", err)
		}
	})
	w.slack.Change(func(t *slackstub.Team) { t.Apps[0].RequestURL = "http://" + addr })
	return addr
}

// dial opens a connection that stays until the test ends.
func (w *world) dial(addr, say string) net.Conn {
	w.t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = c.Close() })
	if _, err := io.WriteString(c, say); err != nil {
		w.t.Fatal(err)
	}
	return c
}

func TestSlowStrangersDoNotKeepSlackOut(t *testing.T) {
	for name, say := range strangers {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, slackstub.Options{})
			addr := w.open(3 * atOnce)
			for range 4 * atOnce {
				w.dial(addr, say())
			}
			if r := w.click(slackstub.Jane, card.Approve); !r.Acked {
				t.Errorf("Jane's click is not acknowledged: %+v", r)
			}
			w.recorded(janeApproves)
		})
	}
}

// Of those who are read, who came first gives his place up, and hears why.
func TestWhoReadsForTheLongestGivesHisPlaceUp(t *testing.T) {
	w := newWorld(t, slackstub.Options{})
	srv := w.serve(w.app)
	addr := strings.TrimPrefix(srv.URL, "http://")
	say := strangers["who look as if they signed"]()
	first := w.dial(addr, say)
	slow := func() float64 { return testutil.ToFloat64(w.handler.Metrics.refused.WithLabelValues("too-slow")) }
	for range atOnce {
		w.dial(addr, say)
	}
	w.await("the first one is told", func() bool { return slow() == 1 })
	answer, err := io.ReadAll(first)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 408 ") {
		t.Errorf("the first one hears %q, %v", answer, err)
	}
}

// Where all places are taken the oldest stranger goes, and nobody who has proved to be Slack while there is one.
func TestTheOldestStrangerGoes(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := limit(l, 3)
	enter := func() net.Conn {
		t.Helper()
		out, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = out.Close() })
		in, err := c.Accept()
		if err != nil {
			t.Fatal(err)
		}
		return in
	}
	open := func(in net.Conn) bool {
		return in.SetDeadline(time.Time{}) == nil
	}
	slack := enter()
	prove(withConnection(t.Context(), slack))
	first, second := enter(), enter()
	third := enter()
	if open(first) || !open(slack) || !open(second) || !open(third) {
		t.Error("another one than the oldest stranger went")
	}
	_ = second.Close()
	fourth := enter()
	if !open(slack) || !open(third) || !open(fourth) {
		t.Error("somebody went although a place was free")
	}
	prove(withConnection(t.Context(), third))
	prove(withConnection(t.Context(), fourth))
	fifth := enter()
	if open(slack) || !open(third) || !open(fourth) || !open(fifth) {
		t.Error("another one than the oldest went where all have proved to be Slack")
	}
	for _, in := range []net.Conn{slack, third, fourth, fifth} {
		_ = in.Close() // twice is as good as once
	}
	if n := c.strangers.Len() + c.proved.Len(); n != 0 {
		t.Errorf("%d places are taken by nobody", n)
	}
}

// Whoever floods with clicks of his own app has the turns of his own app alone.
func TestAFloodOfOneAppDelaysNoOther(t *testing.T) {
	w := newWorld(t, slackstub.Options{})
	evil := mallorys(w)
	w.hub = NewHub(w.handler, quick)
	own := w.app
	own.AppToken = ""
	w.hub.Set(t.Context(), []App{evil, own})
	i := NewInteractivity(w.hub)
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	for range appAtOnce {
		if _, no := i.turn(r, evil); no != nil {
			t.Fatalf("a turn is refused: %+v", no)
		}
	}
	if _, no := i.turn(r, evil); no == nil || no.status != http.StatusTooManyRequests {
		t.Errorf("more clicks of one app than are judged at a time: %+v", no)
	}
	if _, no := i.turn(r, own); no != nil {
		t.Errorf("another app's click is refused: %+v", no)
	}
	// What an app has signed is remembered up to a bound, and its own clicks alone are refused beyond it.
	for n := range maxSeen {
		i.of(evil).seen[[32]byte{byte(n), byte(n >> 8)}] = time.Now()
	}
	if no := i.first(evil, http.Header{}, []byte("one more")); no == nil || no.reason != "too-many" {
		t.Errorf("more than is remembered: %+v", no)
	}
	if no := i.first(own, http.Header{}, []byte("one more")); no != nil {
		t.Errorf("another app's: %+v", no)
	}
	// Who signs no more is forgotten with the next one who does.
	w.hub.Set(t.Context(), []App{own})
	third := own
	third.SigningSecret = "third"
	i.of(third)
	if len(i.signed) != 2 {
		t.Errorf("%d apps are kept", len(i.signed))
	}
}
