package gate

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/backstop-dev/backstop/gate/report"
	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/manifest"
	"github.com/backstop-dev/backstop/reconcile/registry"
)

const (
	// maxResolved is for how many tags of a repository the digest is asked for one image.
	maxResolved = 256
	// resolvedAtOnce of them.
	resolvedAtOnce = 8
)

// promoted checks that an image is the very one that has a tag of the environment before; nil when it is.
func (a *asker) promoted(
	ctx context.Context, image, digest string, e *Environment, access reconcile.Access,
) *report.Finding {
	from := a.o.Config.Environments[e.PromotedFrom]
	repository, tag, _ := manifest.Split(image)
	f := &report.Finding{Rule: report.RulePromoted, Level: report.LevelError, Image: image, Environment: e.name}
	unknown := func(err error) *report.Finding {
		f.Rule, f.Level = report.RuleNotAnswered, report.LevelUnknown
		f.Message = fmt.Sprintf("%s: cannot tell whether it was in %s: %v", image, from.name, err)
		f.Fix = "run again when the registry answers"
		return f
	}
	tags, err := a.list(ctx, repository, access)
	if err != nil {
		return unknown(err)
	}
	candidates := slices.DeleteFunc(slices.Clone(tags), func(t string) bool { return !from.tags.MatchString(t) })
	if len(candidates) == 0 {
		f.Message = fmt.Sprintf("%s was never in %s: no tag of %s matches %s", image, from.name, repository, from.Tags)
		f.Fix = fmt.Sprintf("build it for %s first, and give that very image the tag %s", from.name, tag)
		return f
	}
	registry.NearestFirst(candidates, tag)
	nearest, err := a.resolve(ctx, repository, candidates, digest, access)
	switch {
	case err != nil:
		return unknown(err)
	case nearest == digest:
		return nil
	}
	f.Message = fmt.Sprintf("%s is %s, and none of the %d tags that match %s is: %s is %s, so this was built anew",
		image, text.ShortDigest(digest), len(candidates), from.Tags, candidates[0], text.ShortDigest(nearest))
	f.Fix = fmt.Sprintf("give the image that ran in %s the tag instead: crane tag %s:%s %s",
		from.name, repository, candidates[0], tag)
	if len(candidates) > maxResolved {
		f.Message += fmt.Sprintf(" (the %d most alike were looked at)", maxResolved)
	}
	return f
}

// resolve asks for the digests of tags until one is the wanted. Otherwise it gives that of the first.
func (a *asker) resolve(
	ctx context.Context, repository string, tags []string, want string, access reconcile.Access,
) (string, error) {
	first := ""
	for batch := range slices.Chunk(tags[:min(len(tags), maxResolved)], resolvedAtOnce) {
		digests := make([]string, len(batch))
		g, ctx := errgroup.WithContext(ctx)
		for i, tag := range batch {
			g.Go(func() error {
				var err error
				digests[i], err = a.o.Registry.ResolveDigest(ctx, repository+":"+tag, access)
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return "", err
		}
		if slices.Contains(digests, want) {
			return want, nil
		}
		if first == "" {
			first = digests[0]
		}
	}
	return first, nil
}
