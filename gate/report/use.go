package report

import "strings"

// Use is an image at a place.
type Use struct {
	// Image is the reference as it would run.
	Image string `json:"image"`
	// File and Line that say so.
	File string `json:"file"`
	Line int    `json:"line"`
	// Object that runs it, and the container where it is known.
	Object    string `json:"object,omitempty"`
	Container string `json:"container,omitempty"`
	// Unit is the folder that renders it; empty for a file that no kustomization includes.
	Unit string `json:"unit,omitempty"`
	// Environments of .backstop.yaml that it runs in.
	Environments []string `json:"environments,omitempty"`
	// Policy is the ImagePolicy that writes it, as namespace:name.
	Policy string `json:"policy,omitempty"`

	// Literal explains why Flux replaces no variable in it; Certain says that nothing else does.
	Literal string `json:"-"`
	Certain bool   `json:"-"`
	// Paths by which environments know the use.
	Paths []string `json:"-"`
}

// Print is the same for an image in an environment, wherever the file that says so was moved to.
func (u *Use) Print() string { return "use\x00" + u.Image + "\x00" + strings.Join(u.Environments, ",") }
