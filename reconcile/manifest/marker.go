package manifest

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

const (
	markerKey  = "$imagepolicy"
	holdPrefix = "backstop:hold"
)

// policyName is what a marker may name: ns:policy and what of the reference the node holds. Anything else names no
// ImagePolicy that can exist, and image automation leaves the node alone.
var policyName = regexp.MustCompile(
	`^([a-z0-9](?:[-a-z0-9]*[a-z0-9])?:[a-z0-9](?:[-.a-z0-9]*[a-z0-9])?)(?::(tag|name|digest))?$`,
)

// IsPolicyName reports whether a marker may name this: an ImagePolicy that can exist, with or without a part.
func IsPolicyName(name string) bool { return policyName.MatchString(name) }

// marker is what the comment of a scalar says to image automation.
type marker struct {
	policy, suffix string
	held           *Mark
}

// readMarker reads a scalar's comments as image automation does (kyaml's fieldmeta): of the comment behind the scalar,
// or, only if that has no comment, the one above it, everything after the leading #s must be one JSON object of
// strings. A comment that is our prefix and then such an object is a marker that is held.
func readMarker(line, head string) (marker, bool) {
	comment := line
	if comment == "" {
		comment = head
	}
	if !strings.Contains(comment, markerKey) {
		return marker{}, false
	}
	comment = strings.TrimLeft(comment, "#")
	if m, ok := readPolicy(comment); ok {
		return m, true
	}
	fields, rest, ok := cutHold(comment)
	if !ok {
		return marker{}, false
	}
	m, ok := readPolicy(rest)
	if !ok {
		return marker{}, false
	}
	m.held = readFields(fields)
	return m, true
}

// isMisread reports whether a comment is meant as a marker that image automation does not read.
func isMisread(comment string) bool {
	return meantAt.MatchString(comment)
}

// meantAt is what is meant as a marker: at the start of a comment, or a whole one at the end, with words before it.
var meantAt = regexp.MustCompile(`^[# \t]*` + meantStart + `|\{\s*"\$imagepolicy"\s*:\s*"[^"]*"\s*\}\s*$`)

func readPolicy(comment string) (marker, bool) {
	var object map[string]string
	if err := json.Unmarshal([]byte(comment), &object); err != nil {
		return marker{}, false
	}
	match := policyName.FindStringSubmatch(object[markerKey])
	if match == nil {
		return marker{}, false
	}
	return marker{policy: match[1], suffix: match[2]}, true
}

// cutHold cuts "backstop:hold not=… since=… {…}" into its fields and the marker.
func cutHold(comment string) (fields, rest string, ok bool) {
	after, ok := strings.CutPrefix(strings.TrimLeft(comment, " \t"), holdPrefix)
	if !ok {
		return "", "", false
	}
	brace := strings.IndexByte(after, '{')
	if brace < 0 || (brace > 0 && after[0] != ' ' && after[0] != '\t') {
		return "", "", false
	}
	return after[:brace], after[brace:], true
}

// readFields reads what a hold says of itself. People write holds too: what cannot be read is left out, and what
// lifts it is then a person's matter. A hold is of format 1 where it does not say.
func readFields(fields string) *Mark {
	m := &Mark{Lift: v1alpha1.LiftNewerImage}
	for _, f := range strings.Fields(fields) {
		key, value, _ := strings.Cut(f, "=")
		switch key {
		case "not":
			if text, err := url.PathUnescape(value); err == nil {
				m.Not = text
			}
		case "since":
			if t, err := time.Parse(time.RFC3339, value); err == nil {
				m.Since = t.UTC()
			}
		case "format":
			// A later Backstop wrote it: what it means here is for a person to say.
			if value != "1" {
				m.Lift = v1alpha1.LiftManual
			}
		case "lift", "release":
			// A word that is not known was meant to say more than a newer image.
			if value != string(v1alpha1.LiftNewerImage) {
				m.Lift = v1alpha1.LiftManual
			}
		}
	}
	return m
}

// prefix is the hold as it stands before the marker's JSON.
func (m Mark) prefix() string {
	var b strings.Builder
	b.WriteString(holdPrefix + " not=" + escapeField(m.Not))
	if !m.Since.IsZero() {
		b.WriteString(" since=" + m.Since.UTC().Format(time.RFC3339))
	}
	if m.Lift == v1alpha1.LiftManual {
		b.WriteString(" lift=" + string(m.Lift))
	}
	b.WriteByte(' ')
	return b.String()
}

// escapeField percent-encodes what is not usual in an image reference, so that no value can break out of its field or
// of the comment.
func escapeField(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("._:/@+-", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

// meantStart begins what is meant as a marker: people write the key in other letters, without its quotes, its braces or
// its $.
const meantStart = `(?:\{\s*["']?\$(?i:image-?policy)\b|\{"imagepolicy"\s*:|["']?\$(?i:image-?policy)["']?\s*:)`

// Misread is a comment that is meant as a marker that image automation does not read: it passes over the comment
// without a message.
type Misread struct {
	// Line of the comment, from 1.
	Line int
	// Comment as it stands.
	Comment string
	// Why image automation passes over it.
	Why MisreadReason
}

// MisreadReason is why image automation passes over a marker.
type MisreadReason string

// The reasons.
const (
	// MisreadName is a comment that names nothing that could be an ImagePolicy.
	MisreadName MisreadReason = "Name"
	// MisreadPlace is a comment that does not stand behind a value, on its line.
	MisreadPlace MisreadReason = "Place"
	// MisreadText is no comment, but part of the text of a value.
	MisreadText MisreadReason = "Text"
	// MisreadList is a comment in a file that is a list at its top: image automation passes over all of the file.
	MisreadList MisreadReason = "List"
	// MisreadKey is a comment behind KEY=VALUE. Image automation does read it, and writes over the key too.
	MisreadKey MisreadReason = "Key"
	// MisreadPart is a comment that writes a part of an image, behind a whole one: it writes over all of it.
	MisreadPart MisreadReason = "Part"
	// MisreadWhole is a comment that writes a whole image where only a part of one belongs.
	MisreadWhole MisreadReason = "Whole"
)

// Fits reports whether what a node's marker writes can stand where the node is.
func Fits(n Node) bool { return suffixParts[n.Suffix] == n.Part }

// misfit reports why what a marker writes cannot stand where a value is; empty where it can.
func (m marker) misfit(c claim, value string) MisreadReason {
	_, tag, digest := Split(value)
	slash := strings.Contains(value, "/")
	part := false
	switch m.suffix {
	case "":
		if (c.part == PartTag || c.part == PartDigest) && !slash {
			return MisreadWhole
		}
	case "name":
		part = tag+digest != "" && (c.part == PartImage || slash)
	default:
		part = slash || c.part == PartImage && (c.container != "" || strings.Contains(value, ":"))
	}
	if part {
		return MisreadPart
	}
	return ""
}
