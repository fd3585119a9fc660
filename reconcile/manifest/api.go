package manifest

import (
	"errors"
	"io/fs"
)

// Nodes lists every image node of one YAML file, in the file's order. An error says why the file cannot be read; it
// wraps ErrNotYAML, ErrSOPS, ErrTooLarge or ErrUnsupported.
func Nodes(file string, data []byte) ([]Node, error) { return nil, errors.ErrUnsupported }

// Split cuts a reference into its repository (with registry), tag and digest, as written.
func Split(image string) (repository, tag, digest string) { return "", "", "" }

// Reference is the image that a group makes. What the group does not say, such as the repository of a lone tag, comes
// from base. It says false where even then something is missing.
func Reference(group []Node, base string) (string, bool) { return "", false }

// Match picks the nodes that make an image run for a container: whole groups, all of them if several do.
func Match(nodes []Node, image string, at Target) []Node { return nil }

// Edit gives the file with new values at some nodes, and every other byte as it was.
func Edit(data []byte, edits []Change) ([]byte, error) { return nil, errors.ErrUnsupported }

// WriteHold prefixes the comment of the node's marker, so that image automation leaves the node alone. A hold that is
// already there is replaced.
func WriteHold(data []byte, pointer string, m Mark) ([]byte, error) { return nil, errors.ErrUnsupported }

// ClearHold takes the prefix away: the marker is again exactly what it was. Without a hold nothing changes.
func ClearHold(data []byte, pointer string) ([]byte, error) { return nil, errors.ErrUnsupported }

// Closure finds the files that Flux renders for a Kustomization whose spec.path is root.
func Closure(fsys fs.FS, root string) (Files, error) { return Files{}, errors.ErrUnsupported }

// Changed compares two versions of a file: the image nodes that differ, and whether nothing else does. Formatting,
// comments and the order of keys and documents do not count. Empty data is an absent file.
func Changed(before, after []byte) ([]Delta, bool, error) { return nil, false, errors.ErrUnsupported }

// MayHold says quickly whether a file can hold nodes that Match finds for the image. It never says false for one that
// does.
func MayHold(data []byte, image string) bool { return true }
