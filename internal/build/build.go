// Package build says what this binary was built from.
package build

import (
	"fmt"
	"runtime/debug"
)

// Version is the module's version, or the first twelve digits of the commit where it was built from a checkout.
func Version() string {
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
