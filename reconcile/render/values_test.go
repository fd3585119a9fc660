package render

import (
	"testing"

	"github.com/fluxcd/pkg/chartutil"
	"github.com/opencontainers/go-digest"
	"sigs.k8s.io/yaml"
)

// helm-controller's own library says what a digest has to be.
func TestValuesHaveTheDigestOfHelmController(t *testing.T) {
	for name, text := range map[string]string{
		"none":                       "",
		"an empty map":               "{}",
		"numbers":                    "a: 1\nb: 1.50\nc: 1700000000\nd: 1e21\ne: 0x10\nf: -0.0\ng: 9007199254740993\n",
		"words that look like more":  "a: 'true'\nb: 'null'\nc: '1'\nd: '0o7'\ne: 2026-11-29\nf: 'yes'\ng: ~\nh: ''\n",
		"maps in an order of theirs": "z: {b: 1, a: {d: 2, c: 3}}\na: [{y: 1, x: 2}, [b, a], {}]\nB: 1\nb: 2\n",
		"texts":                      "a: \"two\\nlines\"\nb: |\n  a block\n   of text \n\nc: 'it''s: # no comment'\nd: \"\\u00fc\\t\\u0001\"\n",
		"keys":                       "\"1\": a\n\"true\": b\nä: c\n\"a.b/c\": d\n\"\": e\n",
		"things that are empty":      "a: []\nb: {}\nc: null\nd: [null, {}]\n",
	} {
		var values map[string]any
		if err := yaml.Unmarshal([]byte(text), &values); err != nil {
			t.Fatal(err)
		}
		got, err := digestOf(values)
		if want := chartutil.DigestValues(digest.Canonical, values).String(); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", name, got, err, want)
		}
	}
}

func TestValuesAreMergedAsHelmControllerDoes(t *testing.T) {
	parse := func(text string) (out map[string]any) {
		if err := yaml.Unmarshal([]byte(text), &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	for _, c := range [][2]string{
		{"a: {b: 1, c: 2}", "a: {c: 3, d: 4}"}, {"a: {b: 1}", "a: 2"}, {"a: 1", "a: {b: 2}"}, {"a: [1]", "a: [2]"}, {"a: {b: 1}", "a: null"},
		{"", "a: 1"}, {"a: {b: {c: 1}}", "a: {b: {c: null}}"},
	} {
		got, _ := digestOf(merged(parse("{"+"}"), merged(orNone(parse(c[0])), parse(c[1]))))
		want := chartutil.DigestValues(digest.Canonical, chartutil.MergeMaps(parse(c[0]), parse(c[1]))).String()
		if got != want {
			t.Errorf("%q over %q is merged to something else", c[1], c[0])
		}
	}
}

func orNone(m map[string]any) map[string]any {
	if m == nil {
		return map[string]any{}
	}
	return m
}
