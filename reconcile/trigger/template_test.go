package trigger

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestAVariableThatFollowsTheTagIsNoConfiguration(t *testing.T) {
	for _, c := range []struct {
		was, is, wasTag, isTag string
		follows                bool
	}{
		{"1.2.3", "1.3.0", "v1.2.3", "v1.3.0", true},
		{"app@1.2.3", "app@1.3.0", "1.2.3", "1.3.0", true},
		{"service.name=web,service.version=v1", "service.name=web,service.version=v2", "v1", "v2", true},
		{"a1b2c3d", "e4f5a6b", "main-a1b2c3d-17", "main-e4f5a6b-18", true},
		{"retries=1", "retries=2", "1", "2", false},
		{"11", "22", "1", "2", false},
		{"x1.2.3", "x1.3.0", "1.2.3", "1.3.0", false},
		{"app@1.2.3,mode=a", "app@1.3.0,mode=b", "1.2.3", "1.3.0", false},
		{"release=1.2.3", "release=1.2.4", "1.2.3", "1.3.0", false},
		{"a", "b", "1.2.3", "1.2.3", false},
	} {
		was, is := corev1.EnvVar{Name: "A", Value: c.was}, corev1.EnvVar{Name: "A", Value: c.is}
		if got := followsTag(&was, &is, "registry.example.com/web:"+c.wasTag, "registry.example.com/web:"+c.isTag); got != c.follows {
			t.Errorf("%s to %s with %s to %s: %v", c.was, c.is, c.wasTag, c.isTag, got)
		}
	}
}
