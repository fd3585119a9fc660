package gitrepo

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
)

// The trailers of Backstop's commits. A commit is Backstop's if the last paragraph of its message holds nothing but
// trailers, and Backstop-Kind is among them; "This reverts commit …" is read from the paragraphs before.
//
//	Revert develop-v1.1.0-1700000200 of backend in apps/develop
//
//	This reverts commit 5d0c….
//
//	Backstop-Kind: Revert
//	Backstop-Format: 1
//	Backstop-Cluster: 0f5c7f0e-4a3d-4e0a-9d52-6f1f3ad2c7b1
//	Backstop-Rollback: prod/develop/backend-1x7c-1
//	Backstop-Image: ghcr.io/acme/backend:develop-v1.1.0-1700000200
//	Backstop-Workload: prod/develop/Deployment/backend
//	Backstop-Subject: Image ghcr.io/acme/backend:develop-v1.1.0-1700000200
//	Backstop-Place: apps/develop/backend.yaml#/spec/template/spec/containers/backend/image
//	Approved-by: jane@example.com
const (
	trailerKind     = "Backstop-Kind"
	trailerRollback = "Backstop-Rollback"
	trailerImage    = "Backstop-Image"
	trailerWorkload = "Backstop-Workload"
	trailerPolicy   = "Backstop-Policy"
	trailerSubject  = "Backstop-Subject"
	trailerPlace    = "Backstop-Place"
	trailerCluster  = "Backstop-Cluster"
	trailerFormat   = "Backstop-Format"
	// trailerFailed counts the lifts in a row that failed: a hold repeats what the lift before it said, and adds its own.
	trailerFailed = "Backstop-Failed-Lifts"
)

// note is one of Backstop's commits with what only this package reads.
type note struct {
	reconcile.TrailerCommit
	// failed are lifts in a row that failed, by policy.
	failed map[string]int
}

const (
	// maxTrailer cuts a value in runes.
	maxTrailer = 1000
	// maxTrailers is how many values of one key are read.
	maxTrailers = 1000
	// maxSubject cuts the first line in runes.
	maxSubject = 100
)

var (
	trailerLine = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9-]*): ?(.*)$`)
	revertsLine = regexp.MustCompile(`^This reverts commit ([0-9a-f]{40})\.$`)
	pickedLine  = regexp.MustCompile(`^\(cherry picked from commit [0-9a-f]{40}\)$`)
)

// message writes the message of one of Backstop's commits. Foreign text in it is made one line each, so that it can
// forge no trailer; more are further trailer lines.
func message(subject string, t note, more []string) string {
	var b strings.Builder
	b.WriteString(oneLine(subject, maxSubject))
	b.WriteString("\n\n")
	for _, h := range t.Reverts {
		if line := "This reverts commit " + h + "."; revertsLine.MatchString(line) {
			b.WriteString(line + "\n")
		}
	}
	if len(t.Reverts) > 0 {
		b.WriteString("\n")
	}
	put := func(key, value string) {
		if value = oneLine(value, maxTrailer); value != "" {
			fmt.Fprintf(&b, "%s: %s\n", key, value)
		}
	}
	put(trailerKind, string(t.Kind))
	if t.Format > 0 {
		put(trailerFormat, strconv.Itoa(t.Format))
	}
	put(trailerCluster, t.Cluster)
	for _, list := range t.lists() {
		for _, v := range *list.values {
			put(list.key, v)
		}
	}
	for _, policy := range slices.Sorted(maps.Keys(t.failed)) {
		put(trailerFailed, fmt.Sprintf("%d %s", t.failed[policy], policy))
	}
	for _, line := range more {
		line = oneLine(line, maxTrailer)
		if trailerLine.MatchString(line) && !strings.HasPrefix(line, "Backstop-") {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

// readTrailers reads a commit as one of Backstop's. It says false for everybody else's.
func readTrailers(c *store.Commit) (note, bool) {
	t := note{TrailerCommit: reconcile.TrailerCommit{Commit: c.Hash.String(), When: c.When}}
	// Cheap for the many that are none.
	if !strings.Contains(c.Message, trailerKind) {
		return t, false
	}
	body, last := lastParagraph(c.Message)
	for _, line := range last {
		m := trailerLine.FindStringSubmatch(line)
		if m == nil {
			if pickedLine.MatchString(line) || strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t") {
				continue
			}
			return t, false
		}
		into(&t, m[1], oneLine(m[2], maxTrailer))
	}
	for _, line := range body {
		if m := revertsLine.FindStringSubmatch(strings.TrimRight(line, " \t\r")); m != nil && len(t.Reverts) < maxTrailers {
			t.Reverts = append(t.Reverts, m[1])
		}
	}
	known := []reconcile.TrailerKind{reconcile.TrailerRevert, reconcile.TrailerHold, reconcile.TrailerLift}
	return t, slices.Contains(known, t.Kind)
}

// listed is a trailer that may stand several times, and where its values are kept.
type listed struct {
	key    string
	values *[]string
}

// lists are in the order in which they are written.
func (t *note) lists() []listed {
	return []listed{
		{trailerRollback, &t.Rollbacks}, {trailerImage, &t.Images}, {trailerWorkload, &t.Workloads},
		{trailerPolicy, &t.Policies}, {trailerSubject, &t.Subjects}, {trailerPlace, &t.Places},
	}
}

// into keeps the value of a trailer.
func into(t *note, key, value string) {
	switch key {
	case trailerKind:
		t.Kind = reconcile.TrailerKind(value)
	case trailerCluster:
		t.Cluster = value
	case trailerFormat:
		if n, err := strconv.Atoi(value); err == nil && n > 0 {
			t.Format = n
		}
	case trailerFailed:
		t.countFailed(value)
	}
	for _, list := range t.lists() {
		if list.key == key && value != "" && len(*list.values) < maxTrailers {
			*list.values = append(*list.values, value)
		}
	}
}

// countFailed reads "2 ns:policy".
func (t *note) countFailed(value string) {
	count, policy, _ := strings.Cut(value, " ")
	n, err := strconv.Atoi(count)
	if err != nil || n < 1 || n > 999 || policy == "" || len(t.failed) >= maxTrailers {
		return
	}
	if t.failed == nil {
		t.failed = map[string]int{}
	}
	t.failed[policy] = n
}

// lastParagraph cuts a message into its lines before the last paragraph and those of it.
func lastParagraph(message string) (body, last []string) {
	lines := strings.Split(strings.TrimRight(message, " \t\r\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], "\r")
	}
	for i := len(lines) - 1; i >= 0; i-- {
		if strings.TrimSpace(lines[i]) == "" {
			return lines[:i], lines[i+1:]
		}
	}
	// One paragraph is a subject.
	return lines, nil
}
