package release

import (
	"fmt"
	"strings"
)

// platform is what a binary runs on.
type platform struct{ os, arch string }

func (p platform) String() string { return p.os + "/" + p.arch }

// binary is the name of a program there.
func (p platform) binary(name string) string {
	if p.os == "windows" {
		return name + ".exe"
	}
	return name
}

func parsePlatforms(list string) ([]platform, error) {
	var out []platform
	for one := range strings.SplitSeq(list, ",") {
		system, arch, ok := strings.Cut(one, "/")
		if !ok {
			return nil, fmt.Errorf("-platforms: %q is not OS/ARCH", one)
		}
		out = append(out, platform{system, arch})
	}
	return out, nil
}

const allPlatforms = "linux/amd64,linux/arm64,darwin/amd64,darwin/arm64,windows/amd64,windows/arm64"
