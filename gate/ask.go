package gate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/gate/report"
	"github.com/backstop-dev/backstop/internal/image"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// ask puts every image of a report to its registry, and what image automation watches.
func ask(ctx context.Context, o *Options, m *model, r *report.Report, known map[string]bool) error {
	a := &asker{o: o, report: r, uses: map[string][]report.Use{}, tags: map[string]*tagList{}}
	var images []string
	for _, use := range r.Images {
		if a.uses[use.Image] == nil {
			images = append(images, use.Image)
		}
		a.uses[use.Image] = append(a.uses[use.Image], use)
	}
	r.Asked = len(images)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(o.Parallel)
	for _, image := range images {
		g.Go(func() error {
			found := a.image(ctx, image)
			a.mu.Lock()
			defer a.mu.Unlock()
			r.Findings = append(r.Findings, found...)
			a.done++
			o.Progress("asking registries", a.done, len(images))
			return ctx.Err()
		})
	}
	for _, image := range sortedKeys(m.scanned) {
		p := m.scanned[image]
		if known["scanned\x00"+image] || !o.within(append(p.paths, p.File)...) {
			continue
		}
		g.Go(func() error {
			found := a.repository(ctx, image, &p)
			a.mu.Lock()
			defer a.mu.Unlock()
			r.Findings = append(r.Findings, found...)
			return ctx.Err()
		})
	}
	for i := range m.undecided {
		u := &m.undecided[i]
		id := u.finding.Print()
		if known["undecided\x00"+id] || known[id] || !o.within(u.finding.Places()...) || u.policy.image == "" {
			continue
		}
		g.Go(func() error {
			found := a.decide(ctx, u)
			a.mu.Lock()
			defer a.mu.Unlock()
			r.Findings = append(r.Findings, found...)
			return ctx.Err()
		})
	}
	return g.Wait()
}

// image gives what is wrong with an image, at every place that uses it.
func (a *asker) image(ctx context.Context, image string) []report.Finding {
	access := a.o.Access(ctx, image)
	proof := a.prove(ctx, image, access)
	f := report.Finding{Level: report.LevelError, Image: image, Message: image + ": " + ofIt(proof.Sentence, image)}
	switch proof.Finding {
	case reconcile.FindingPresent:
		return a.present(ctx, image, proof.Digest, access)
	case reconcile.FindingAbsent:
		f.Rule, f.Fix = ruleOf(proof.Cause, image)
		f.Fix += a.near(ctx, image, proof.Cause, access)
	case reconcile.FindingUnproved:
		if proof.Artifact != "" {
			f.Rule, f.Fix = report.RuleArtifact, "name the image that is to run: no runtime runs "+proof.Artifact
			break
		}
		f.Rule, f.Level, f.Fix = report.RuleNotAnswered, report.LevelUnknown, fixOf(proof, image)
		if access.Missing != "" {
			f.Message += "; " + access.Missing
		}
	}
	return a.at(f)
}

// ofIt names an image no second time in a sentence that comes after its name.
func ofIt(sentence, image string) string {
	_, short, _ := strings.Cut(image, "/")
	for _, before := range []string{" has ", " does not have ", " for "} {
		head, tail, found := strings.Cut(sentence, before+short)
		if found && (tail == "" || strings.ContainsRune(" ,(:;", rune(tail[0]))) {
			return head + before + "it" + tail
		}
	}
	return sentence
}

// ruleOf reports which rule a proved absence breaks, and what to do.
func ruleOf(cause v1alpha1.Cause, image string) (report.Rule, string) {
	switch cause {
	case v1alpha1.CausePlatformMismatch:
		return report.RulePlatform, "build the image for this platform too, or use a tag that has it"
	case v1alpha1.CauseBlobMissing:
		return report.RuleLayer, "push the image again"
	case v1alpha1.CauseInvalidName:
		return report.RuleInvalid, "write it as REGISTRY/REPOSITORY:TAG, in lower case but for the tag"
	default:
		return report.RuleMissing, "correct the tag, or push " + image + " first"
	}
}

// fixOf describes what to do about a registry that gave no answer, or none that settles it.
func fixOf(proof reconcile.Proof, image string) string {
	switch {
	case proof.Cause == v1alpha1.CauseUnauthorized:
		return "log in to " + host(image) + " (docker login), so that the gate may read it"
	case proof.Cause == v1alpha1.CauseRateLimited:
		return "log in, or run again later"
	case proof.Cause == v1alpha1.CauseUnknown && proof.Digest != "":
		return "try it on a node: the registry has the image, and cannot say more"
	case proof.Cause == v1alpha1.CauseUnknown:
		return "check the repository's name, and log in to " + host(image) + " if it is private"
	default:
		return "run again when the registry answers"
	}
}

// near names the tag that was probably meant.
func (a *asker) near(ctx context.Context, image string, cause v1alpha1.Cause, access reconcile.Access) string {
	repository, tag, digest := manifest.Split(image)
	if cause != v1alpha1.CauseNotFound || tag == "" {
		return ""
	}
	if digest != "" {
		// A runtime pulls by the digest alone: the tag tells what was meant.
		has, err := a.o.Registry.ResolveDigest(ctx, repository+":"+tag, access)
		if err != nil || has == digest {
			return ""
		}
		return fmt.Sprintf("; %s is %s: did you mean that?", tag, has)
	}
	tags, err := a.list(ctx, repository, access)
	if err != nil {
		return ""
	}
	best, least := "", 4
	for _, t := range tags {
		if d := distance(tag, t); d > 0 && d < least {
			best, least = t, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// distance counts the edits between two short texts.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		corner := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := corner
			if a[i-1] != b[j-1] {
				cost++
			}
			corner, row[j] = row[j], min(row[j]+1, row[j-1]+1, cost)
		}
	}
	return row[len(b)]
}

// present checks what only an image that exists can break: its signature, and where it was promoted from.
func (a *asker) present(ctx context.Context, ref, digest string, access reconcile.Access) []report.Finding {
	var out []report.Finding
	if a.o.Verify != nil {
		if err := a.o.Verify(ctx, ref, digest, access); err != nil {
			f := report.Finding{
				Rule: report.RuleNotAnswered, Level: report.LevelUnknown, Image: ref, Message: ref + ": " + err.Error(),
				Fix: "run again when the registry answers",
			}
			var unsigned *Unsigned
			if errors.As(err, &unsigned) {
				f.Rule, f.Level, f.Fix = report.RuleUnsigned, report.LevelError,
					"sign it: cosign sign --key KEY "+image.Repository(ref)+"@"+digest
			}
			out = append(out, a.at(f)...)
		}
	}
	seen := map[string]bool{}
	for _, use := range a.uses[ref] {
		for _, name := range use.Environments {
			e := a.o.Config.Environments[name]
			if e.PromotedFrom == "" || seen[name] {
				continue
			}
			seen[name] = true
			f := a.promoted(ctx, ref, digest, e, access)
			for _, place := range a.uses[ref] {
				if f != nil && slices.Contains(place.Environments, name) {
					f.File, f.Line = place.File, place.Line
					out = append(out, *f)
				}
			}
		}
	}
	return out
}

// repository checks that what image automation watches can be listed.
func (a *asker) repository(ctx context.Context, image string, p *placed) []report.Finding {
	access := a.o.Access(ctx, image)
	if _, err := a.list(ctx, image, access); err != nil {
		return []report.Finding{{
			Rule: report.RuleNotAnswered, Level: report.LevelUnknown, Image: image,
			File: p.File, Line: p.LineOf("spec", "image"),
			Message: fmt.Sprintf("%s watches %s, whose tags cannot be listed: %v", &p.Object, image, err),
			Fix:     "check the repository's name, and log in to " + host(image) + " if it is private",
		}}
	}
	return nil
}

// decide looks among a registry's tags for one of another environment that a policy accepts.
func (a *asker) decide(ctx context.Context, u *undecided) []report.Finding {
	p, f := u.policy, u.finding
	tags, err := a.list(ctx, p.image, a.o.Access(ctx, p.image))
	if err != nil {
		f.Rule, f.Level = report.RuleNotAnswered, report.LevelUnknown
		f.Message = fmt.Sprintf(
			"cannot tell whether ImagePolicy %s of %s accepts tags of %s: those of %s cannot be listed: %v",
			p.id(), u.own.name, u.other.name, p.image, err)
		f.Fix = "check the repository's name, and log in to " + host(p.image) + " if it is private"
		return []report.Finding{f}
	}
	for _, tag := range slices.Backward(tags) {
		own := u.own.Tags != "" && u.own.tags.MatchString(tag)
		if own || !u.other.tags.MatchString(tag) || !p.accepts(tag) {
			continue
		}
		f.Message = fmt.Sprintf("ImagePolicy %s of %s accepts tags of %s: %s, which %s has, matches its pattern %s",
			p.id(), u.own.name, u.other.name, tag, p.image, p.spec.FilterTags.Pattern)
		return []report.Finding{f}
	}
	return nil
}
