package manifest

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

var (
	// plainText are the characters of image references; none of them means anything to YAML, in block or flow style.
	plainText = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/:@+-]*$`)
	// otherTypes is what some YAML 1.1 parser on the way to the cluster takes for a number, a boolean or nothing, beyond
	// what the parser used here does: sexagesimal numbers, underscores, y and n.
	otherTypes = regexp.MustCompile(`^(?i:` +
		`y|n|yes|no|on|off|true|false|null|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?|[0-9][0-9_.]*e[-+]?[0-9]+)$`)
)

// encode writes a value in the style of the scalar that it replaces. A plain scalar gets quotes where it would not stay
// text.
func encode(value string, style yaml.Style) (string, error) {
	if !utf8.ValidString(value) {
		return "", fmt.Errorf("%w: the value %q is not UTF-8", ErrRefused, shorten(value))
	}
	switch {
	case style&yaml.SingleQuotedStyle != 0 && printable(value):
		return "'" + strings.ReplaceAll(value, "'", "''") + "'", nil
	case style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) == 0 && staysText(value):
		return value, nil
	}
	return doubleQuote(value), nil
}

// staysText reports whether a plain scalar is text to every YAML parser.
func staysText(value string) bool {
	if !plainText.MatchString(value) || strings.HasSuffix(value, ":") || otherTypes.MatchString(value) {
		return false
	}
	n := yaml.Node{Kind: yaml.ScalarNode, Value: value}
	return n.ShortTag() == "!!str"
}

// isPlain reports whether a value is text to every YAML parser where it can stand without quotes at all.
func isPlain(value string) bool {
	n := yaml.Node{Kind: yaml.ScalarNode, Value: value}
	return printable(value) && !otherTypes.MatchString(value) && n.ShortTag() == "!!str"
}

func printable(value string) bool {
	for _, r := range value {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' || r == '\uFEFF' || r >= 0xfffe && r <= 0xffff {
			return false
		}
	}
	return true
}

// doubleQuote writes a value as JSON would, which YAML reads too.
func doubleQuote(value string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range value {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r > 0xffff:
			b.WriteRune(r)
		case !printable(string(r)):
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
