package registry_test

import (
	"io"
	"net/http"
	"slices"
	"sync"
)

// notes are lines that several goroutines write.
type notes struct {
	mu    sync.Mutex
	lines []string
}

func (n *notes) add(line string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, line)
}

func (n *notes) all() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.lines)
}

// raw is the manifest of a tag, read from inside.
func (p *peer) raw(repo, tag string) []byte {
	p.t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://"+p.Host()+"/v2/"+repo+"/manifests/"+tag, nil)
	p.must(err)
	resp, err := p.RoundTrip(req)
	p.must(err)
	body, err := io.ReadAll(resp.Body)
	p.must(err)
	return body
}
