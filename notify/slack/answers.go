package slack

import (
	"bytes"
	"errors"
	"io"
	"net/http"

	"github.com/backstop-dev/backstop/internal/text"
)

// What an answer of Slack may hold: its longest are lists of a user group's people. Whoever makes a Provider chooses
// the proxy and the certificates, and so may answer in Slack's place, to all of Backstop's cost.
const (
	maxAnswer  = 4 << 20
	maxObjects = 20_000
	maxValues  = 300_000
)

// errTooMuch is an answer that holds more.
var errTooMuch = errors.New("the answer is longer than any of Slack's")

// weighing takes answers in whole and weighs them, before Slack's library makes objects of them.
type weighing struct{ next http.RoundTripper }

// RoundTrip sends one request.
func (w weighing) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := w.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	_ = res.Body.Close()
	switch {
	case err != nil:
		return nil, err
	case len(body) > maxAnswer, text.Heavy(body, maxObjects, maxValues):
		return nil, errTooMuch
	}
	res.Body, res.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return res, nil
}
