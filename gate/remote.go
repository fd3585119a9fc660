package gate

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// refuse says why a unit is not built at all: it would leave the repository.
func (b *builder) refuse(u *unit) *Finding {
	for _, p := range u.closure.Problems {
		ref, remote := remoteOf(p.Reason)
		if remote && b.allowed(ref) {
			continue
		}
		f := &Finding{Rule: RuleBuild, Level: LevelError, File: p.File, Line: b.lineOf(p.File, ref), Message: p.Reason}
		switch {
		case remote:
			f.Rule, f.Level = RuleRemote, LevelUnknown
			f.Message = fmt.Sprintf("%s is not built: %s", u.dir, p.Reason)
			f.Fix = allowing(ref)
		case strings.Contains(p.Reason, "symbolic link"), strings.Contains(p.Reason, "submodule"):
			f.Message += "; Flux does not follow it either"
			f.Fix = "put the file itself into the repository"
		default:
			f.Fix = fmt.Sprintf("correct the reference: kustomize cannot build %s with it; or leave the folder out: "+
				"ignore: [%[1]s] in %s", u.dir, ConfigFile)
		}
		if !isYAML(f.File) && !isKustomization(f.File) {
			f.File, f.Line = u.place()
		}
		return f
	}
	return b.refuseFetches(u)
}

// refuseFetches looks for what kustomize would download and the closure does not follow.
func (b *builder) refuseFetches(u *unit) *Finding {
	for _, name := range u.closure.Paths {
		if !isKustomization(name) {
			continue
		}
		if ref := b.fetchedBy(name); ref != "" {
			return &Finding{
				Rule: RuleRemote, Level: LevelUnknown, File: name, Line: b.lineOf(name, ref),
				Message: fmt.Sprintf("%s is not built: %q is remote: only files of this repository are read", u.dir, ref),
				Fix:     allowing(ref),
			}
		}
	}
	return nil
}

// fetchedBy finds a reference in a kustomization file that kustomize would fetch; empty for none.
func (b *builder) fetchedBy(name string) string {
	b.mu.Lock()
	ref, known := b.fetches[name]
	b.mu.Unlock()
	if known {
		return ref
	}
	var k any
	data, err := readFile(b.tree, name, manifest.MaxFileSize)
	if err == nil && mayFetch(data) && yaml.Unmarshal(data, &k) == nil {
		ref = b.fetched(k)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fetches[name] = ref
	return ref
}

// mayFetch says quickly whether a kustomization file may hold what isRemote finds: as it stands, or behind an escape or
// a tag of YAML.
func mayFetch(data []byte) bool {
	return bytes.ContainsAny(data, `@\!`) || bytes.Contains(data, []byte("://")) ||
		bytes.Contains(bytes.ToLower(data), []byte("github.com"))
}

// fetched finds a reference that kustomize would fetch, wherever in a kustomization it stands; empty for none.
func (b *builder) fetched(v any) string {
	switch v := v.(type) {
	case map[string]any:
		for _, key := range sortedKeys(v) {
			// Text and annotations are no paths.
			switch key {
			case "patch", "commonAnnotations", "commonLabels", "labels", "literals", "metadata", "images", "options":
				continue
			}
			if ref := b.fetched(v[key]); ref != "" {
				return ref
			}
		}
	case []any:
		for _, item := range v {
			if ref := b.fetched(item); ref != "" {
				return ref
			}
		}
	case string:
		if _, file, ok := strings.Cut(v, "="); ok && !strings.Contains(v, "?") {
			v = file
		}
		if isRemote(v) && !b.allowed(v) {
			return v
		}
	}
	return ""
}

// isRemote says whether kustomize may fetch a reference. Being wrong in this direction costs a build, in the other one
// a request to a stranger.
func isRemote(ref string) bool {
	low := strings.ToLower(strings.TrimPrefix(strings.ToLower(ref), "git::"))
	if strings.ContainsAny(ref, "\n ") {
		return false
	}
	for _, prefix := range []string{"http://", "https://", "ssh://", "file://", "github.com/", "github.com:"} {
		if strings.HasPrefix(low, prefix) {
			return true
		}
	}
	user, _, ok := strings.Cut(low, "@")
	return ok && !strings.ContainsAny(user, "/.")
}

// remoteOf cuts the reference out of a problem of the closure, and says whether it is that the reference is remote.
func remoteOf(reason string) (ref string, remote bool) {
	if parts := strings.SplitN(reason, `"`, 3); len(parts) == 3 {
		ref = parts[1]
	}
	return ref, strings.Contains(reason, "is remote:")
}

// prefixOf is what to allow for a remote reference: its host and first folder.
func prefixOf(ref string) string {
	at := address(strings.TrimPrefix(ref, "git::"))
	parts := strings.SplitN(at, "/", 3)
	return strings.Join(parts[:min(2, len(parts))], "/") + "/"
}

// allowing says what to do about a remote reference.
func allowing(ref string) string {
	return fmt.Sprintf("copy it into the repository, or allow it: --allow-remote %s, or remoteBases: [%[1]s] in %s",
		prefixOf(ref), ConfigFile)
}

// allowed says whether a remote reference is one that the user allowed.
func (b *builder) allowed(ref string) bool {
	at := address(strings.TrimPrefix(ref, "git::"))
	return slices.ContainsFunc(b.allow, func(prefix string) bool {
		return strings.HasPrefix(at, strings.ToLower(strings.TrimSuffix(prefix, "*")))
	})
}

// lineOf finds the line of a file that names a reference.
func (b *builder) lineOf(name, ref string) int {
	data, err := readFile(b.tree, name, manifest.MaxFileSize)
	if err != nil || ref == "" {
		return 1
	}
	ref = strings.TrimSuffix(ref, "…")
	before, _, found := strings.Cut(string(data), ref)
	if _, rest, ok := strings.Cut(ref, "://"); ok && !found {
		before, _, found = strings.Cut(string(data), rest)
	}
	if !found {
		return 1
	}
	return 1 + strings.Count(before, "\n")
}
