// Package build describes what this binary was built from.
package build

import (
	"fmt"
	"runtime/debug"
)

// release is the version of a released binary, which make release writes here.
var release string

// Version is the release, the module's version, or the first twelve digits of the commit where it was built from a
// checkout.
func Version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && (info.Main.Version == "" || info.Main.Version == "(devel)") {
			return fmt.Sprintf("%.12s", s.Value)
		}
	}
	if info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}
