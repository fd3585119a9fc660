package gitrepo

import (
	"fmt"
	"slices"
	"strings"

	"github.com/backstop-dev/backstop/reconcile/gitrepo/wire"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// short is the first 12 characters of a hash.
func short(hash string) string { return hash[:min(12, len(hash))] }

// oneLine makes one harmless line of at most n runes of foreign text.
func oneLine(s string, n int) string { return wire.OneLine(s, n) }

// some names one and counts the others.
func some(names []string) string {
	switch len(names) {
	case 0:
		return ""
	case 1:
		return names[0]
	}
	return fmt.Sprintf("%s and %d more", names[0], len(names)-1)
}

func add(list *[]string, values ...string) {
	for _, v := range values {
		if v = strings.TrimSpace(v); v != "" && !slices.Contains(*list, v) {
			*list = append(*list, v)
		}
	}
}

// version is what tells a failing image from its former self: its tag, or its digest.
func version(image string) string {
	repository, tag, digest := manifest.Split(image)
	switch {
	case tag != "":
		return tag
	case digest != "":
		return digest
	}
	return repository
}
