package alerts

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"k8s.io/client-go/util/workqueue"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/body"
)

// Path is where events are posted to.
const Path = "/alerts"

const (
	// maxBody is what notification-controller takes itself.
	maxBody = 3 << 20
	// slowest is how long a body may take to arrive.
	slowest = 5 * time.Second
	// atOnce is how many bodies are read at a time.
	atOnce = 8
	// header holds the algorithm and the signature, scheme is the algorithm that is taken.
	header = "X-Signature"
	scheme = "sha256="
)

// Options of a Receiver.
type Options struct {
	// Key reads the Provider's token: its bytes as they are, a newline at the end too. It must not take long.
	Key func() ([]byte, error)
	// Ready reports whether this replica works; one that does not asks notification-controller to try again.
	Ready func() bool
	// Wake looks at an object; it must not block.
	Wake func(v1alpha1.ObjectRef)
	// Log hears of what is refused, at level debug, and of a key that cannot be read.
	Log *slog.Logger
}

// Receiver is the handler of events. Run hands over what they name.
type Receiver struct {
	Options
	*metrics
	queue  workqueue.TypedInterface[v1alpha1.ObjectRef]
	bodies body.Reader
}

// New makes a Receiver.
func New(o Options) *Receiver {
	return &Receiver{Options: o, metrics: newMetrics(),
		bodies: body.Reader{AtOnce: atOnce, Most: maxBody, Slowest: slowest},
		queue:  workqueue.NewTyped[v1alpha1.ObjectRef]()}
}

// refused is an event that is not taken: the status, and the reason for the counter.
type refused struct {
	status int
	reason string
}

// ServeHTTP takes one event.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	ref, no := r.admit(w, req)
	if no == nil && ref != nil && !r.add(*ref) {
		no = &refused{http.StatusServiceUnavailable, "too-many"}
	}
	switch {
	case no != nil:
		r.received.WithLabelValues(no.reason).Inc()
		r.Log.Debug("event refused", "reason", no.reason)
		// The rest of the body is not waited for, and the next try may reach another replica.
		w.Header().Set("Connection", "close")
		w.WriteHeader(no.status)
	case ref == nil:
		r.received.WithLabelValues("not-watched").Inc()
		w.WriteHeader(http.StatusAccepted)
	default:
		r.received.WithLabelValues("taken").Inc()
		w.WriteHeader(http.StatusAccepted)
	}
}

// admit judges a request, and gives the object that its event names; nil if Backstop does not watch it.
func (r *Receiver) admit(w http.ResponseWriter, req *http.Request) (*v1alpha1.ObjectRef, *refused) {
	if req.Method != http.MethodPost {
		return nil, &refused{http.StatusMethodNotAllowed, "method"}
	}
	if !r.Ready() {
		return nil, &refused{http.StatusServiceUnavailable, "not-leading"}
	}
	want, ok := signature(req.Header.Get(header))
	if !ok {
		return nil, &refused{http.StatusUnauthorized, "signature"}
	}
	key, err := r.Key()
	if err != nil || len(key) == 0 {
		r.Log.Error("the key of alerts cannot be read: mount the token of the Provider's Secret", "error", err)
		return nil, &refused{http.StatusServiceUnavailable, "no-key"}
	}
	if req.ContentLength > maxBody {
		return nil, &refused{http.StatusRequestEntityTooLarge, "too-large"}
	}
	raw, no := r.read(w, req)
	if no != nil {
		return nil, no
	}
	sum := hmac.New(sha256.New, key)
	_, _ = sum.Write(raw)
	if !hmac.Equal(sum.Sum(nil), want) {
		return nil, &refused{http.StatusUnauthorized, "signature"}
	}
	ref, ok := object(raw)
	if !ok {
		return nil, &refused{http.StatusBadRequest, "no-event"}
	}
	return ref, nil
}

// signature reads the header; false where it holds none of the one algorithm that is taken.
func signature(text string) ([]byte, bool) {
	digits, ok := strings.CutPrefix(text, scheme)
	if !ok || len(digits) != 2*sha256.Size {
		return nil, false
	}
	sum, err := hex.DecodeString(digits)
	return sum, err == nil
}

// read takes the body, in a place that is given up when others come.
func (r *Receiver) read(w http.ResponseWriter, req *http.Request) ([]byte, *refused) {
	raw, err := r.bodies.Read(w, req)
	switch {
	case errors.Is(err, body.ErrTooLarge):
		return nil, &refused{http.StatusRequestEntityTooLarge, "too-large"}
	case errors.Is(err, body.ErrTooSlow):
		return nil, &refused{http.StatusRequestTimeout, "unreadable"}
	case err != nil:
		return nil, &refused{http.StatusBadRequest, "unreadable"}
	}
	return raw, nil
}
