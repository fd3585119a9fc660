package gitrepo

import (
	"context"
	"fmt"
	"strings"

	"github.com/backstop-dev/backstop/reconcile"
)

// nowhere says why no node was found, and what to do.
func (h *history) nowhere(_ context.Context, l *locating) error {
	q := l.query
	image := oneLine(q.Image, 300)
	where := fmt.Sprintf("none of the %d files that %s renders from %q at %s", l.count, q.Root.By, q.Root.Path,
		short(h.tip.String()))
	if len(l.unread) > 0 {
		return reconcile.Refuse("%s that can be read says %s: %s. Edit it by hand", where, image,
			strings.Join(l.unread[:min(3, len(l.unread))], "; "))
	}
	hint := "what sets it is outside of them: a change by hand, the Kustomization's spec.images or postBuild, a chart's " +
		"defaults, a webhook or an operator. Take it back there"
	if problems := l.files.Problems; len(problems) > 0 {
		hint = fmt.Sprintf("%s: %s. Take it back there", problems[0].File, oneLine(problems[0].Reason, 200))
	}
	return reconcile.Refuse("%s says %s; %s", where, image, hint)
}
