package registry

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/backstop-dev/backstop/reconcile"
)

// Description is what a registry says of an image that it has.
type Description struct {
	// Digest of its manifest or index.
	Digest string
	// Platforms, as os/arch[/variant], that the image names.
	Platforms []string
	// Built is when its config says that it was made; zero where it does not, or says a time that nobody built at.
	Built time.Time
}

// Describe looks at an image: at most three GETs beside the HEAD. The error is an *Error.
func (r *Registry) Describe(ctx context.Context, image string, access reconcile.Access) (Description, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	t, err := parse(image, access)
	if err != nil {
		return Description{}, err
	}
	var out Description
	err = r.try(ctx, t, access, func(s *session) error {
		p := &probe{r: r, s: s, t: t}
		out, err = p.describe(ctx)
		return err
	})
	if err != nil {
		return out, asError(err)
	}
	return out, nil
}

func (p *probe) describe(ctx context.Context) (Description, error) {
	top, err := p.s.resolve(ctx, p.t.ref.Identifier())
	if err != nil {
		return Description{}, err
	}
	out := Description{Digest: top.digest.String()}
	if top.mediaType.IsSchema1() {
		return out, nil
	}
	leaves, err := p.leaves(ctx, v1.Descriptor{Digest: top.digest, MediaType: top.mediaType, Size: top.size}, top.body, 0)
	if err != nil {
		return out, p.plain(err)
	}
	for i := range leaves {
		have, known, err := p.platformOf(ctx, &leaves[i])
		if err != nil {
			return out, err
		}
		if name := platformName(have); known && !slices.Contains(out.Platforms, name) {
			out.Platforms = append(out.Platforms, name)
		}
	}
	if len(leaves) > 0 {
		out.Built, err = p.built(ctx, leaves[0])
	}
	return out, err
}

// epoch is before anybody built an image: builds that are to be reproducible set 1970 or 1980.
var epoch = time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC)

// built reads when an image was made.
func (p *probe) built(ctx context.Context, l leaf) (time.Time, error) {
	c, err := p.content(ctx, l.desc, nil)
	if err != nil || c.config == nil || !c.config.MediaType.IsConfig() {
		return time.Time{}, p.plain(err)
	}
	body, err := p.s.config(ctx, *c.config)
	if err != nil {
		return time.Time{}, p.plain(p.lost(err, "blob", c.config.Digest))
	}
	var config struct {
		Created time.Time `json:"created"`
	}
	if err := json.Unmarshal(body, &config); err != nil || config.Created.Before(epoch) {
		return time.Time{}, nil //nolint:nilerr // a config that says no time, or nonsense, says no time
	}
	return config.Created.UTC(), nil
}

// resolvedAtOnce is how many digests are asked for at the same time.
const resolvedAtOnce = 8

// mostAliases is how many tags are asked for their digest.
const mostAliases = 48

// Aliases are the other tags, of those given, under which a repository has the digest of an image, name:tag@digest. The
// ones most alike to the image's own tag are looked at first, and no more than 48. more says that there were others.
func (r *Registry) Aliases(ctx context.Context, image string, tags []string, access reconcile.Access,
) (same []string, more bool, err error) {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return nil, false, undecided("%s is no image reference", clip(image))
	}
	pinned, ok := named.(reference.Digested)
	if !ok {
		return nil, false, undecided("%s names no digest", clip(image))
	}
	own := ""
	if tagged, ok := named.(reference.Tagged); ok {
		own = tagged.Tag()
	}
	tags = slices.DeleteFunc(slices.Clone(tags), func(t string) bool { return t == own })
	NearestFirst(tags, own)
	if more = len(tags) > mostAliases; more {
		tags = tags[:mostAliases]
	}
	found := make([]bool, len(tags))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(resolvedAtOnce)
	for i, tag := range tags {
		g.Go(func() error {
			d, err := r.ResolveDigest(ctx, named.Name()+":"+tag, access)
			if missing(err) {
				return nil
			}
			found[i] = d == pinned.Digest().String()
			return err
		})
	}
	err = g.Wait()
	for i, tag := range tags {
		if found[i] {
			same = append(same, tag)
		}
	}
	return same, more, err
}

// NearestFirst sorts tags by how much of their end they share with one, the newest by name first: environments put
// their name before what a build is called.
func NearestFirst(tags []string, to string) {
	slices.SortFunc(tags, func(x, y string) int {
		if c := alike(y, to) - alike(x, to); c != 0 {
			return c
		}
		return strings.Compare(y, x)
	})
}

// alike is how much of the end two tags share.
func alike(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[len(a)-1-n] == b[len(b)-1-n] {
		n++
	}
	return n
}
