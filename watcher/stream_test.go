package watcher

import (
	"context"
	"encoding/json"
	"io"
	"net/url"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
)

// stream is the body of a watch.
type stream struct {
	kind, namespace string
	query           url.Values
	ctx             context.Context
	events          chan []byte
	closed          chan struct{}
	once            sync.Once
	leave           func(*stream)
	rest            []byte
}

func (w *stream) wants(o object) bool {
	if o["kind"] != w.kind || (w.namespace != "" && field(o, "metadata", "namespace") != w.namespace) {
		return false
	}
	switch f := w.query.Get("fieldSelector"); {
	case f == "":
	case f == pendingSelector:
		if field(o, "status", "phase") != "Pending" {
			return false
		}
	case strings.HasPrefix(f, "metadata.name="):
		if field(o, "metadata", "name") != strings.TrimPrefix(f, "metadata.name=") {
			return false
		}
	default:
		for _, r := range fields.ParseSelectorOrDie(f).Requirements() {
			if r.Operator != selection.Equals || field(o, strings.Split(r.Field, ".")...) != r.Value {
				return false
			}
		}
	}
	sel, err := labels.Parse(w.query.Get("labelSelector"))
	if err != nil {
		panic(err)
	}
	set := labels.Set{}
	meta, _ := o["metadata"].(object)
	all, _ := meta["labels"].(object)
	for k, v := range all {
		set[k], _ = v.(string)
	}
	return sel.Matches(set)
}

func (w *stream) send(event string, o object) {
	raw, err := json.Marshal(object{"type": event, "object": o})
	if err != nil {
		panic(err)
	}
	w.events <- append(raw, '\n')
}

func (w *stream) Read(p []byte) (int, error) {
	if len(w.rest) == 0 {
		var ok bool
		select {
		case w.rest, ok = <-w.events:
			if !ok {
				return 0, io.EOF
			}
		case <-w.closed:
			return 0, io.EOF
		case <-w.ctx.Done():
			return 0, w.ctx.Err()
		}
	}
	n := copy(p, w.rest)
	w.rest = w.rest[n:]
	return n, nil
}

func (w *stream) Close() error {
	w.once.Do(func() {
		close(w.closed)
		w.leave(w)
	})
	return nil
}
