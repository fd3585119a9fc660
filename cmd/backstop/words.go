package main

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"
)

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// tagOf is what tells an image apart from its neighbours: the tag, or a shortened digest.
func tagOf(image string) string {
	if ref, digest, ok := strings.Cut(image, "@"); ok {
		if t := tagOf(ref); t != ref {
			return t
		}
		return fmt.Sprintf("@%.19s", digest)
	}
	if i := strings.LastIndex(image, ":"); i > strings.LastIndex(image, "/") {
		return image[i+1:]
	}
	return image
}

func age(t, now time.Time) string { return duration.HumanDuration(now.Sub(t)) }
