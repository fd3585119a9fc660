package main

import "testing"

func TestOnlyPlainImagesInThePlacesOfOthersAreAlike(t *testing.T) {
	const deployment = "spec:\n  replicas: 2\n  containers:\n  - name: app\n    image: "
	for name, tt := range map[string]struct {
		before, after string
		want          bool
	}{
		"a tag":                      {deployment + "reg/app:v2", deployment + "reg/app:v1", true},
		"a hold in a comment":        {deployment + "reg/app:v2 # {x}", deployment + "reg/app:v1 # backstop:hold {x}", true},
		"a digest":                   {"digest: sha256:aa", "digest: sha256:bb", true},
		"a second document":          {"a: x\n---\nb: v2", "a: x\n---\nb: v1", true},
		"a file of JSON":             {`{"newTag": "v2"}`, `{"newTag": "v1"}`, true},
		"a number for a tag":         {"newTag: v2", "newTag: 1.10", false},
		"another number":             {"replicas: 2", "replicas: 3", false},
		"a digest in place of a tag": {"image: reg/app:v2", "image: reg/app@sha256:aa", false},
		"a variable":                 {"image: reg/app:v2", "image: reg/app:${TAG}", false},
		"a field more":               {"image: reg/app:v2", "image: reg/app:v1\nextra: x", false},
		"a field less":               {"image: reg/app:v2\nextra: x", "image: reg/app:v1", false},
		"another field":              {"image: reg/app:v2", "picture: reg/app:v1", false},
		"an entry more":              {"- a\n- b", "- a\n- b\n- c", false},
		"a document more":            {"a: x", "a: x\n---\nb: y", false},
		"what is no YAML":            {"a: x", "a: [x", false},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := documents([]byte(tt.before))
			if err != nil {
				t.Fatal(err)
			}
			b, err := documents([]byte(tt.after))
			if got := err == nil && sameShape(a, b); got != tt.want {
				t.Errorf("alike %t, want %t", got, tt.want)
			}
		})
	}
}

func TestWhatReadsAValueIsToldByItsWords(t *testing.T) {
	for text, want := range map[string]bool{
		"resources: [web.yaml]\nimages: [{name: a, newTag: v1}]":       false,
		"replacements: [{path: r.yaml}]":                               true,
		"kind: ReplacementTransformer":                                 true,
		"vars: [{name: A}]":                                            true,
		"patches: [{patch: '[{\"op\": \"test\", \"path\": \"/a\"}]'}]": true,
		"- op: test\n  path: /a":                                       true,
		"- op: replace\n  path: /a":                                    false,
		"env: [{name: VARS_OF, value: x}]":                             false,
	} {
		if got := reads.MatchString(text); got != want {
			t.Errorf("%q: %t, want %t", text, got, want)
		}
	}
}
