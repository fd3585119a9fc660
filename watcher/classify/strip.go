package classify

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxRead bounds what is looked at of a message, in bytes; a registry's error page can be long.
const maxRead = 16 << 10

// maxWords is the length of a kept message, in runes.
const maxWords = 1024

// gone stands for a name that was taken out, noImageType for the media type of what is no image: a signature, an
// attestation, a chart, a cache, wasm. A message cannot hold either.
const (
	gone        = "§"
	noImageType = gone + "noimage"
	// artifact may still turn out to be a name.
	artifact = gone + "artifact"
)

// noImage are the media types of what registries keep beside images.
var noImage = regexp.MustCompile(`^application/(?:` +
	`vnd\.(?:dev\.(?:cosign|sigstore|falcosecurity)|cncf\.(?:helm|flux|notary|openpolicyagent|model)|wasm|` +
	`bytecodealliance|in-toto|buildkit|cyclonedx|docker\.plugin|docker\.ai|oci\.empty|unknown\.config|` +
	`goharbor|aquasec|syft|gatekeeper|kcl)` +
	`\b|vnd\.fermyon\b|wasm\b|spdx|x-in-toto|sarif)[a-z0-9.+-]*$`)

var (
	// quoted is what Go's %q writes; the rest of a message that was cut within quotes counts as quoted.
	quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*(?:"|$)`)

	// typed is where a sentence names a media type.
	typed = regexp.MustCompile(`(type|processor for|encountered remote) ` + artifact + `\b`)

	// bareNames is where a sentence of a runtime or registry holds a bare tag, host or repository: the only places where a
	// name without a slash or a colon stands outside quotes.
	bareNames = []struct {
		at *regexp.Regexp
		by string
	}{
		{regexp.MustCompile(`\[(manifests|blobs) [^\]]*\]`), "[]"},
		{regexp.MustCompile(`\b(manifest|digest) \S+ in `), "$1 " + gone + " in "},
		{regexp.MustCompile(`\b(manifest for|pull access denied for|image pull failed for) [^\s,:]+`), "$1 " + gone},
		{regexp.MustCompile(`\b(lookup|from host|to host) [^\s,:]+`), "$1 " + gone},
		{regexp.MustCompile(`\b(repository|artifact|tag|image) [^\s,:]+ (not found|was )`), "$1 " + gone + " $2"},
		{regexp.MustCompile(`\b(container registry|docker registry) [^\s,:]+`), "$1 " + gone},
	}

	// slashed are words with a slash that are no names.
	slashed = map[string]bool{"i/o": true, "input/output": true, "net/http": true, "text/html": true}
)

// strip takes the names out of a message and gives the rest in lower case with single spaces, and the same cut into
// segments at colons, semicolons and line ends.
func strip(message string) (text string, segments []string) {
	if len(message) > maxRead {
		message = message[:maxRead]
	}
	message = strings.ToValidUTF8(message, " ")
	message = strings.ReplaceAll(message, gone, " ")
	message = strings.ToLower(quoted.ReplaceAllStringFunc(message, func(q string) string {
		if isArtifact(strings.ToLower(strings.Trim(q, `"`))) {
			return artifact
		}
		return gone
	}))
	lines := strings.FieldsFunc(message, func(r rune) bool { return r == '\n' || r == '\r' })
	for i, line := range lines {
		words := strings.Fields(line)
		for j, word := range words {
			words[j] = name(word)
		}
		line = strings.Join(words, " ")
		if strings.Contains(line, artifact) {
			line = strings.ReplaceAll(typed.ReplaceAllString(line, "$1 "+noImageType), artifact, gone)
		}
		for _, n := range bareNames {
			line = n.at.ReplaceAllString(line, n.by)
		}
		lines[i] = line
	}
	text = strings.Join(lines, "; ")
	for _, part := range strings.Split(text, "; ") {
		for _, s := range strings.Split(part, ": ") {
			segments = append(segments, strings.Trim(s, " .,:;()[]'"))
		}
	}
	return text, segments
}

// isArtifact reports whether a word is the media type of what is no image.
func isArtifact(word string) bool {
	return strings.HasPrefix(word, "application/") && noImage.MatchString(word)
}

// name replaces a word that looks like a reference, an address, a path or a URL.
func name(word string) string {
	core := strings.TrimRight(word, ":,;.")
	if isArtifact(strings.Trim(core, "'()[]")) {
		return artifact + word[len(core):]
	}
	if slashed[strings.Trim(core, "()")] {
		return word
	}
	if strings.ContainsAny(core, "/@") || strings.Contains(core, ":") {
		return gone + word[len(core):]
	}
	return word
}

var (
	userinfo = regexp.MustCompile(`://[^\s/"']*@`)
	query    = regexp.MustCompile(`(://[^\s"'?]*)\?[^\s"']*?([:,;.)]*)(["'\s]|$)`)
)

// Words makes a message fit to be kept and shown: at most 1024 characters of one line, without control and
// direction characters, and without what a URL may carry in secret, its user and its query.
func Words(message string) string {
	if len(message) > maxRead {
		message = message[:maxRead]
	}
	message = strings.ToValidUTF8(message, "\uFFFD")
	message = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), unicode.Is(unicode.Co, r):
			return -1
		}
		return r
	}, message)
	message = strings.Join(strings.Fields(message), " ")
	message = userinfo.ReplaceAllString(message, "://")
	message = query.ReplaceAllString(message, "$1$2$3")
	if utf8.RuneCountInString(message) <= maxWords {
		return message
	}
	runes := []rune(message)
	return string(runes[:maxWords-1]) + "…"
}
