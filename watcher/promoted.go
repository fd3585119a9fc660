package watcher

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/reconcile/trigger"
)

// promoted remembers the hashes of the configuration with which canaries had promoted an update. A restart forgets.
type promoted struct {
	mu   sync.Mutex
	seen map[types.UID]map[string]string
}

func newPromoted() *promoted { return &promoted{seen: map[types.UID]map[string]string{}} }

func (p *promoted) note(uid types.UID, s *trigger.CanaryStatus) {
	if !s.Promoted {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen[uid] = s.Tracked
}

func (p *promoted) of(uid types.UID) (map[string]string, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	out, known := p.seen[uid]
	return out, known
}

func (p *promoted) forget(uid types.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.seen, uid)
}
