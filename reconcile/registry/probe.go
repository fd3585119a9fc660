package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

const (
	// maxTried is how many tags of a list are looked at for one that this client sees.
	maxTried = 3
	// blobsAtOnce is how many blobs are asked for at the same time.
	blobsAtOnce = 4
	// maxBlobs of one question.
	maxBlobs = 1024
)

// run answers the question. An *Error that is proved is an absence.
func (p *probe) run(ctx context.Context) (reconcile.Proof, error) {
	top, err := p.s.resolve(ctx, p.t.ref.Identifier())
	if missing(err) {
		return reconcile.Proof{}, p.absent(ctx)
	}
	if err != nil {
		return reconcile.Proof{}, err
	}
	if top.headless {
		return reconcile.Proof{}, undecided("%s has %s, and answers HEAD for it with 404: containerd asks by HEAD, and "+
			"does not find it", p.s.host, p.t.short)
	}
	said := ""
	if len(p.q.Platforms) > 0 || p.q.Deep {
		if said, err = p.inspect(ctx, top); err != nil {
			if e := asError(err); e.proved || e.Cause == v1alpha1.CauseUnknown {
				e.digest = top.digest.String()
			}
			return reconcile.Proof{}, err
		}
	}
	return reconcile.Proof{
		Finding: reconcile.FindingPresent, Digest: top.digest.String(),
		Sentence: fmt.Sprintf("%s has %s%s", p.s.host, p.t.short, said),
	}, nil
}

// absent turns the registry's 404 into a proof: only between two of them does it show this client another tag.
func (p *probe) absent(ctx context.Context) error {
	shown, err := p.shown(ctx)
	if err != nil {
		e := *asError(err)
		if e.Cause == v1alpha1.CauseNotFound {
			e.Cause = v1alpha1.CauseUnknown
			e.Sentence = "it shows this client no other tag of that repository"
		}
		e.Sentence = fmt.Sprintf("%s answers 404 for %s, which proves nothing here: %s", p.s.host, p.t.short, e.Sentence)
		return &e
	}
	if err := p.unlisted(ctx, shown); err != nil {
		return err
	}
	_, err = p.s.manifest(ctx, p.t.ref.Identifier())
	switch {
	case err == nil:
		return untrue(p.s.host, "404 for %s and then 200", p.t.short)
	case !missing(err):
		return err
	case !asError(err).coded:
		return undecided("%s answers 404 for %s, which proves nothing here: the answer is not a registry's own that it does "+
			"not know it, or gives another reason", p.s.host, p.t.short)
	case p.r.cached(p.t):
		return undecided("%s answers 404 for %s, which proves nothing here: it is a cache, and a cache has what it could "+
			"fetch", p.s.host, p.t.short)
	}
	return &Error{Cause: v1alpha1.CauseNotFound, proved: true, Sentence: fmt.Sprintf(
		"%s does not have %s (404), and shows this client %s", p.s.host, p.t.short, shown)}
}

// unlisted looks whether the registry's own list of tags lacks the tag too. A cache lists what its upstream has and
// answers 404 for what it could not fetch; a list that is not complete proves nothing, nor does one that lacks a tag
// which the registry shows. Where this client gets no whole list, image automation's later one tells. A digest is in no
// list: where Git names a tag too, one that is listed and is not there either tells.
func (p *probe) unlisted(ctx context.Context, shown string) error {
	if _, err := v1.NewHash(p.t.ref.Identifier()); err == nil {
		return p.hidden(ctx)
	}
	tags, complete, err := p.s.whole(ctx)
	why := ""
	switch {
	case err != nil && !unknown(err) && !missing(err) && asError(err).Cause != v1alpha1.CauseUnauthorized:
		return err
	case err != nil && p.q.Rescanned,
		err == nil && !complete && p.q.Rescanned && !slices.Contains(tags, p.t.ref.Identifier()):
		return nil
	case err != nil:
		why = "it lists no tags"
	case slices.Contains(tags, p.t.ref.Identifier()):
		why = "its list of tags has it"
	case !complete:
		why = "its list of tags could not be read to the end"
	case !strings.Contains(shown, ":") && !slices.Contains(tags, shown):
		why = fmt.Sprintf("its list of tags lacks %s, too, which it has", shown)
	case len(tags) == 0:
		why = "its list of tags is empty"
	default:
		return nil
	}
	return undecided("%s answers 404 for %s, which proves nothing here: %s", p.s.host, p.t.short, why)
}

// hidden looks whether the registry lists the tag of an image that Git names by digest too, and does not have it.
func (p *probe) hidden(ctx context.Context) error {
	if p.t.tag == "" {
		return nil
	}
	listed := false
	if tags, _, err := p.s.list(ctx, maxPages*pageSize); err == nil {
		listed = slices.Contains(tags, p.t.tag)
	}
	if !listed {
		return nil
	}
	if _, err := p.s.resolve(ctx, p.t.tag); !missing(err) {
		return nil
	}
	return undecided("%s answers 404 for %s and for its tag, which proves nothing here: its list of tags has it", p.s.host,
		p.t.short)
}

// shown finds another tag of the repository that this client sees: the witness, or one of the list.
func (p *probe) shown(ctx context.Context) (string, error) {
	if id := p.witness(); id != "" {
		switch m, err := p.s.resolve(ctx, id); {
		case err == nil && m.headless:
			return "", p.noHead(id)
		case err == nil:
			return id, nil
		case !missing(err):
			return "", err
		}
	}
	tags, err := p.s.tags(ctx, pageSize)
	if err != nil && !unknown(err) {
		return "", err
	}
	tried := 0
	for _, tag := range tags {
		if tag == p.t.ref.Identifier() {
			continue
		}
		if tried++; tried > maxTried {
			break
		}
		m, err := p.s.resolve(ctx, tag)
		switch {
		case err == nil && m.headless:
			return "", p.noHead(tag)
		case err == nil && m.digest.String() != p.t.ref.Identifier():
			return tag, nil
		case err != nil && !missing(err):
			return "", err
		}
	}
	return "", refusal(p.s.host, http.StatusNotFound)
}

// noHead reports that a registry's 404 to HEAD is no answer, since it gives it for what it has.
func (p *probe) noHead(tag string) error {
	return undecided("it answers HEAD with 404 for %s, too, which it has", tag)
}

// witness is the tag or digest of the question's witness, empty where that is of another repository or the very image.
func (p *probe) witness() string {
	if p.q.Witness == "" {
		return ""
	}
	w, err := parse(p.q.Witness, p.q.Access)
	if err != nil || w.ref.Context().Name() != p.t.ref.Context().Name() || w.ref.Identifier() == p.t.ref.Identifier() {
		return ""
	}
	return w.ref.Identifier()
}

// inspect looks into a manifest for platforms and, where asked, for every blob. It gives what to add to a sentence.
func (p *probe) inspect(ctx context.Context, top manifest) (string, error) {
	if top.mediaType.IsSchema1() {
		return "", undecided("%s has %s, but as an image of the old schema 1, which cannot be looked into",
			p.s.host, p.t.short)
	}
	leaves, err := p.leaves(ctx, v1.Descriptor{Digest: top.digest, MediaType: top.mediaType, Size: top.size}, top.body, 0)
	if err != nil {
		return "", p.confirm(ctx, top, err)
	}
	chosen, err := p.choose(ctx, leaves)
	if err != nil {
		return "", err
	}
	said := ""
	if len(p.q.Platforms) > 0 {
		said = " for " + strings.Join(p.q.Platforms, ", ")
	}
	if !p.q.Deep {
		return said, nil
	}
	if err := p.complete(ctx, top, chosen); err != nil {
		return "", err
	}
	return said + " with every layer", nil
}

// choose picks the leaves that the platforms asked for run; all of them where none is asked for.
func (p *probe) choose(ctx context.Context, leaves []leaf) ([]leaf, error) {
	if len(p.q.Platforms) == 0 {
		return leaves, nil
	}
	var chosen []leaf
	for _, asked := range p.q.Platforms {
		want, err := platform(asked)
		if err != nil {
			return nil, undecided("%s cannot be looked at: %s", p.t.short, err)
		}
		best, which := no, -1
		for i := range leaves {
			have, known, err := p.platformOf(ctx, &leaves[i])
			if err != nil {
				return nil, err
			}
			m := perhaps
			if known {
				m = runs(want, have)
			}
			if m > best {
				best, which = m, i
			}
		}
		switch best {
		case yes:
			chosen = append(chosen, leaves[which])
		case perhaps:
			return nil, undecided("%s has %s %s: whether that runs on %s cannot be told",
				p.s.host, p.t.short, offered(leaves), platformName(want))
		case no:
			if p.r.cached(p.t) {
				return nil, undecided("%s has %s %s, not for %s, which proves nothing here: it is a cache, and a cache has what "+
					"it could fetch", p.s.host, p.t.short, offered(leaves), platformName(want))
			}
			return nil, &Error{Cause: v1alpha1.CausePlatformMismatch, proved: true, Sentence: fmt.Sprintf(
				"%s has %s %s, not for %s", p.s.host, p.t.short, offered(leaves), platformName(want))}
		}
	}
	return chosen, nil
}

// offered lists the platforms of an image for a sentence.
func offered(leaves []leaf) string {
	const most = 8
	var names []string
	for _, l := range leaves {
		name := "a platform that it does not name"
		if l.known {
			name = platformName(l.platform)
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	switch {
	case len(names) == 0:
		return "for no platform at all"
	case len(names) > most:
		names = append(names[:most], "others")
	}
	return "for " + strings.Join(names, ", ")
}

// complete looks whether everything exists that the leaves are made of.
func (p *probe) complete(ctx context.Context, top manifest, leaves []leaf) error {
	seen := map[v1.Hash]bool{}
	var blobs []v1.Descriptor
	for _, l := range leaves {
		if l.desc.Digest != top.digest && !seen[l.desc.Digest] {
			seen[l.desc.Digest] = true
			if _, err := p.s.resolve(ctx, l.desc.Digest.String()); err != nil {
				return p.confirm(ctx, top, p.lost(err, "manifest", l.desc.Digest))
			}
		}
		c, err := p.content(ctx, l.desc, nil)
		if err != nil {
			return p.confirm(ctx, top, err)
		}
		for _, b := range append([]v1.Descriptor{*c.config}, c.layers...) {
			if !seen[b.Digest] && b.MediaType.IsDistributable() {
				seen[b.Digest] = true
				blobs = append(blobs, b)
			}
		}
	}
	if len(blobs) > maxBlobs {
		return undecided("%s has more than %d layers, which are too many to look at", p.t.short, maxBlobs)
	}
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(blobsAtOnce)
	for _, b := range blobs {
		group.Go(func() error { return p.lost(p.s.blob(within, b), "blob", b.Digest) })
	}
	return p.confirm(ctx, top, group.Wait())
}

// confirm makes a proof of a missing part: the registry must still show this client the image itself, with the same
// digest, and then miss the part once more.
func (p *probe) confirm(ctx context.Context, top manifest, err error) error {
	var lost *lostError
	if !errors.As(err, &lost) {
		return err
	}
	again, err := p.s.resolve(ctx, p.t.ref.Identifier())
	if err != nil {
		if missing(err) {
			return untrue(p.s.host, "200 for %s and then 404", p.t.short)
		}
		return err
	}
	if again.digest != top.digest {
		return unavailable("%s was pushed to %s anew while it was looked at", p.t.short, p.s.host)
	}
	if lost.what == "blob" {
		var resp *http.Response
		if resp, err = p.s.do(ctx, http.MethodGet, "blobs/"+lost.digest.String(),
			map[string]string{"Range": "bytes=0-0"}); err == nil {
			_ = resp.Body.Close()
		}
	} else {
		_, err = p.s.manifest(ctx, lost.digest.String())
	}
	if !missing(err) {
		if err == nil {
			return untrue(p.s.host, "404 for %s %s and then 200", lost.what, lost.digest)
		}
		return err
	}
	if !asError(err).coded || p.r.cached(p.t) {
		return undecided("%s answers 404 for the %s %s of %s, which proves nothing here: a cache, or something on the way, "+
			"may say so too", p.s.host, lost.what, lost.digest, p.t.short)
	}
	return &Error{Cause: v1alpha1.CauseBlobMissing, proved: true, Sentence: fmt.Sprintf(
		"%s has %s, but not its %s %s (404)", p.s.host, p.t.short, lost.what, lost.digest)}
}
