package registry

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/reconcile"
)

const (
	// maxFetched bounds how many manifests and configs are read for one question.
	maxFetched = 32
	// maxDepth of indexes within indexes.
	maxDepth = 2
	// maxListed bounds the entries of an index and the layers of an image, and maxObjects and maxValues what a manifest
	// makes of its bytes.
	maxListed  = 512
	maxObjects = 8 * maxListed
	maxValues  = 100 * maxListed
	// maxWord bounds a kind of content and each part of a platform, in bytes.
	maxWord = 255
)

// leaf is an image, of an index or alone.
type leaf struct {
	desc     v1.Descriptor
	platform v1.Platform
	// known means that the platform was named, read that it was looked for in the config.
	known, read bool
}

// content reads a manifest, or remembers it. body is it where it was read already.
func (p *probe) content(ctx context.Context, d v1.Descriptor, body []byte) (*content, error) {
	if kept, ok := p.r.contents.Get(d.Digest.String()); ok {
		return kept.(*content), nil
	}
	if body == nil {
		if err := p.fetch(); err != nil {
			return nil, err
		}
		m, err := p.s.manifest(ctx, d.Digest.String())
		if err != nil {
			return nil, p.lost(err, "manifest", d.Digest)
		}
		body = m.body
	}
	c, err := p.parse(body)
	if err != nil {
		return nil, err
	}
	p.r.contents.Add(d.Digest.String(), c)
	return c, nil
}

// fetch counts what is read.
func (p *probe) fetch() error {
	if p.fetched++; p.fetched > maxFetched {
		return undecided("%s is made of too many manifests to look into", p.t.short)
	}
	return nil
}

// parse reads a manifest: an index or an image, never both.
func (p *probe) parse(body []byte) (*content, error) {
	var doc struct {
		Manifests []v1.Descriptor `json:"manifests"`
		Config    *v1.Descriptor  `json:"config"`
		Layers    []v1.Descriptor `json:"layers"`
	}
	if text.Heavy(body, maxObjects, maxValues) {
		return nil, undecided("%s has too many parts to look into", p.t.short)
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, untrue(p.s.host, "something that is no manifest of %s", p.t.short)
	}
	parts := slices.Concat(doc.Manifests, doc.Layers)
	if doc.Config != nil {
		parts = append(parts, *doc.Config)
	}
	switch {
	case slices.ContainsFunc(parts, wordy):
		return nil, untrue(p.s.host, "a manifest of %s whose words are too long", p.t.short)
	case doc.Manifests != nil && (doc.Config != nil || doc.Layers != nil):
		return nil, untrue(p.s.host, "a manifest of %s that is an index and an image at once", p.t.short)
	case len(doc.Manifests) > maxListed || len(doc.Layers) > maxListed:
		return nil, undecided("%s has too many parts to look into", p.t.short)
	case doc.Manifests != nil:
		return &content{children: bare(doc.Manifests)}, nil
	case doc.Config == nil || doc.Config.Digest.Hex == "":
		return nil, untrue(p.s.host, "a manifest of %s that is neither an index nor an image", p.t.short)
	}
	for _, l := range doc.Layers {
		if l.Digest.Hex == "" {
			return nil, untrue(p.s.host, "a manifest of %s with a layer that has no digest", p.t.short)
		}
	}
	return &content{config: &bare([]v1.Descriptor{*doc.Config})[0], layers: bare(doc.Layers)}, nil
}

// wordy reports whether an entry has words that are longer than any that mean something.
func wordy(d v1.Descriptor) bool {
	words := []string{string(d.MediaType), d.Digest.Hex, d.Digest.Algorithm, d.Annotations[referenceType]}
	if d.Platform != nil {
		words = append(words, d.Platform.OS, d.Platform.Architecture, d.Platform.Variant)
	}
	return slices.ContainsFunc(words, func(w string) bool { return len(w) > maxWord })
}

// bare are entries as they are remembered: of all that a stranger put into them, what is looked at here.
func bare(all []v1.Descriptor) []v1.Descriptor {
	out := make([]v1.Descriptor, 0, len(all))
	for _, d := range all {
		kept := v1.Descriptor{MediaType: d.MediaType, Size: d.Size, Digest: d.Digest}
		if of := d.Annotations[referenceType]; of != "" {
			kept.Annotations = map[string]string{referenceType: of}
		}
		if p := d.Platform; p != nil {
			kept.Platform = &v1.Platform{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant}
		}
		out = append(out, kept)
	}
	return out
}

// leaves are the images that a manifest stands for. Attestations and other artifacts of an index are no images.
func (p *probe) leaves(ctx context.Context, d v1.Descriptor, body []byte, depth int) ([]leaf, error) {
	c, err := p.content(ctx, d, body)
	if err != nil {
		return nil, err
	}
	if c.config != nil {
		if what, kind := artifact(c); what != "" {
			err := undecided("%s has %s, but it is no container image: it is %s (%s)", p.s.host, p.t.short, what, clip(kind))
			err.artifact = what
			return nil, err
		}
		return []leaf{{desc: d}}, nil
	}
	var all []leaf
	for _, child := range c.children {
		switch {
		case child.Digest.Hex == "":
			return nil, untrue(p.s.host, "an index of %s with an entry that has no digest", p.t.short)
		case attests(child):
		case child.MediaType.IsIndex():
			if depth >= maxDepth {
				return nil, undecided("%s has too many indexes within indexes", p.t.short)
			}
			inner, err := p.leaves(ctx, child, nil, depth+1)
			if err != nil {
				return nil, err
			}
			all = append(all, inner...)
		case child.MediaType.IsImage() || child.MediaType == "":
			all = append(all, leafOf(child))
		}
		if len(all) > maxListed {
			return nil, undecided("%s has too many parts to look into", p.t.short)
		}
	}
	return all, nil
}

// leafOf is an entry of an index that is an image.
func leafOf(d v1.Descriptor) leaf {
	l := leaf{desc: d}
	if d.Platform != nil && d.Platform.OS != "" && d.Platform.Architecture != "" {
		l.platform, l.known = normal(*d.Platform), true
	}
	return l
}

// referenceType marks an entry that speaks about another one.
const referenceType = "vnd.docker.reference.type"

// attests reports whether an entry of an index speaks about another one.
func attests(d v1.Descriptor) bool {
	if d.Annotations[referenceType] != "" {
		return true
	}
	return d.Platform != nil && d.Platform.OS == "unknown" && d.Platform.Architecture == "unknown"
}

// platformOf is the platform of a leaf: the one that the index names, or its config does. An image whose config names
// none is not known to fit nor not to.
func (p *probe) platformOf(ctx context.Context, l *leaf) (v1.Platform, bool, error) {
	if l.known || l.read {
		return l.platform, l.known, nil
	}
	l.read = true
	c, err := p.content(ctx, l.desc, nil)
	if err != nil {
		return v1.Platform{}, false, p.plain(err)
	}
	if c.config == nil || !c.config.MediaType.IsConfig() {
		return v1.Platform{}, false, nil
	}
	have, err := p.config(ctx, *c.config)
	if err != nil {
		return v1.Platform{}, false, p.plain(err)
	}
	if have.OS != "" && have.Architecture != "" {
		l.platform, l.known = normal(have), true
	}
	return l.platform, l.known, nil
}

// plain makes a missing part an error of the question where its own proof was not asked for.
func (p *probe) plain(err error) error {
	var lost *lostError
	if errors.As(err, &lost) {
		return unavailable("%s has %s, but not its %s %s", p.s.host, p.t.short, lost.what, lost.digest)
	}
	return err
}

// config reads the platform that an image's config names, or remembers it.
func (p *probe) config(ctx context.Context, d v1.Descriptor) (v1.Platform, error) {
	if kept, ok := p.r.contents.Get("config " + d.Digest.String()); ok {
		return kept.(v1.Platform), nil
	}
	if err := p.fetch(); err != nil {
		return v1.Platform{}, err
	}
	body, err := p.s.config(ctx, d)
	if err != nil {
		return v1.Platform{}, p.lost(err, "blob", d.Digest)
	}
	var have v1.Platform
	if err := json.Unmarshal(body, &have); err != nil {
		return v1.Platform{}, untrue(p.s.host, "something that is no config of %s", p.t.short)
	}
	have = v1.Platform{OS: have.OS, Architecture: have.Architecture, Variant: have.Variant}
	if wordy(v1.Descriptor{Platform: &have}) {
		return v1.Platform{}, untrue(p.s.host, "a config of %s whose words are too long", p.t.short)
	}
	p.r.contents.Add("config "+d.Digest.String(), have)
	return have, nil
}

// probe is one question, put in one session.
type probe struct {
	r *Registry
	s *session
	t target
	q reconcile.Question
	// fetched counts the manifests and configs that were read for this question.
	fetched int
}

// lost makes the 404 of something that a manifest names a fault of the image.
func (p *probe) lost(err error, what string, digest v1.Hash) error {
	if !missing(err) {
		return err
	}
	return &lostError{what: what, digest: digest}
}

// lostError is a 404 for a part of an image. It is no proof until the registry shows the image again.
type lostError struct {
	what   string
	digest v1.Hash
}

// Error is short: it never reaches a sentence as it is.
func (e *lostError) Error() string { return e.what + " " + e.digest.String() + " is missing" }
