package main

import (
	"time"

	"k8s.io/apimachinery/pkg/util/duration"
)

func age(t, now time.Time) string { return duration.HumanDuration(now.Sub(t)) }
