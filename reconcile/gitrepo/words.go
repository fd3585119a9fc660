package gitrepo

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/wire"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// indexWord finds a text that is no part of a longer word; -1 for none.
func indexWord(data []byte, text string) int {
	for at := 0; ; {
		i := bytes.Index(data[at:], []byte(text))
		if i < 0 {
			return -1
		}
		i += at
		end := i + len(text)
		if (i == 0 || !isWord(data[i-1])) && (end == len(data) || !isWord(data[end])) {
			return i
		}
		at = i + 1
	}
}

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.'
}

// What foreign text is cut to, in runes.
const (
	imageRunes   = 300
	nameRunes    = 200
	branchRunes  = 100
	reasonRunes  = 400
	subjectRunes = 500
	authorRunes  = 250
)

// oneLine makes one harmless line of at most n runes of foreign text.
func oneLine(s string, n int) string { return wire.OneLine(s, n) }

// subjectOf is the first line of a commit's message.
func subjectOf(c *store.Commit) string {
	subject, _, _ := strings.Cut(c.Message, "\n")
	return oneLine(subject, subjectRunes)
}

// related is a commit as a Suspect names it.
func related(c *store.Commit) *v1alpha1.RelatedCommit {
	return &v1alpha1.RelatedCommit{Commit: c.Hash.String(), Subject: subjectOf(c), Author: oneLine(c.Author, authorRunes)}
}

// isYAML reports whether image automation and Flux take a file for YAML.
func isYAML(name string) bool {
	ext := path.Ext(name)
	return ext == ".yaml" || ext == ".yml" || path.Base(name) == "Kustomization"
}

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
