package main

import (
	"time"

	"k8s.io/apimachinery/pkg/util/duration"
)

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func age(t, now time.Time) string { return duration.HumanDuration(now.Sub(t)) }
