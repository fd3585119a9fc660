package registry

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// match reports whether an image can run on a platform.
type match int

// The answers. perhaps is where runtimes differ, or where it depends on the very processor.
const (
	no match = iota
	perhaps
	yes
)

// platformPart is what may stand in a platform.
var platformPart = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,31}$`)

// platform reads os/arch[/variant], of a node or of a flag.
func platform(s string) (v1.Platform, error) {
	parts := strings.Split(strings.ToLower(strings.TrimSpace(s)), "/")
	if len(parts) != 2 && len(parts) != 3 {
		return v1.Platform{}, fmt.Errorf("%s is no platform (os/arch, such as linux/amd64)", clip(s))
	}
	for _, p := range parts {
		if !platformPart.MatchString(p) {
			return v1.Platform{}, fmt.Errorf("%s is no platform (os/arch, such as linux/amd64)", clip(s))
		}
	}
	p := v1.Platform{OS: parts[0], Architecture: parts[1]}
	if len(parts) == 3 {
		p.Variant = parts[2]
	}
	return normal(p), nil
}

// normal brings the names of a platform to the ones that Go and the OCI use, as containerd does. arm64/v8 and amd64/v1
// are what the architecture means anyway.
func normal(p v1.Platform) v1.Platform {
	p.OS, p.Architecture, p.Variant = strings.ToLower(p.OS), strings.ToLower(p.Architecture), strings.ToLower(p.Variant)
	if p.OS == "macos" {
		p.OS = "darwin"
	}
	switch p.Architecture {
	case "x86_64", "x86-64":
		p.Architecture = "amd64"
	case "i386", "i486", "i586", "i686":
		p.Architecture, p.Variant = "386", ""
	case "aarch64":
		p.Architecture = "arm64"
	case "armhf":
		p.Architecture, p.Variant = "arm", "v7"
	case "armel":
		p.Architecture, p.Variant = "arm", "v6"
	}
	if p.Variant != "" && p.Variant[0] >= '0' && p.Variant[0] <= '9' {
		p.Variant = "v" + p.Variant
	}
	if (p.Architecture == "arm64" && p.Variant == "v8") || (p.Architecture == "amd64" && p.Variant == "v1") {
		p.Variant = ""
	}
	return p
}

// runs reports whether an image for have can run where want is asked for. Nodes do not tell their variant, so one that
// is not named matches every other. containerd also pulls 386 on amd64 and arm on arm64, CRI-O does not: perhaps.
func runs(want, have v1.Platform) match {
	want, have = normal(want), normal(have)
	switch {
	case want.OS != have.OS:
		return no
	case want.Architecture != have.Architecture:
		switch want.Architecture + " " + have.Architecture {
		case "amd64 386", "arm64 arm":
			return perhaps
		}
		return no
	case want.Variant == have.Variant, want.Variant == "", have.Variant == "":
		return yes
	}
	w, werr := strconv.Atoi(strings.TrimPrefix(want.Variant, "v"))
	h, herr := strconv.Atoi(strings.TrimPrefix(have.Variant, "v"))
	switch {
	case werr != nil || herr != nil:
		return perhaps
	case h <= w:
		return yes
	case want.Architecture == "arm":
		return no
	}
	return perhaps
}

// name is the platform for a sentence.
func platformName(p v1.Platform) string {
	s := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	for _, part := range strings.Split(s, "/") {
		if !platformPart.MatchString(part) {
			return clip(s)
		}
	}
	return s
}
