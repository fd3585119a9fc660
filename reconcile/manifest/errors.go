package manifest

import "errors"

// The reasons for which a file is not handled. They come wrapped with the place and what to do.
var (
	// ErrNotYAML is a file that does not parse, such as a Helm template.
	ErrNotYAML = errors.New("not YAML")
	// ErrSOPS is a file that SOPS encrypted: an edit would break its checksum.
	ErrSOPS = errors.New("encrypted with SOPS")
	// ErrTooLarge is a file above MaxFileSize, or one that aliases blow up.
	ErrTooLarge = errors.New("too large")
	// ErrUnsupported is YAML that parses and is still refused: duplicate keys, unknown tags, deep nesting, aliases that
	// contain themselves.
	ErrUnsupported = errors.New("unsupported YAML")
	// ErrNoNode is a pointer that finds nothing in the file.
	ErrNoNode = errors.New("no such node")
	// ErrRefused is an edit that cannot be made without touching something else.
	ErrRefused = errors.New("edit refused")
)

// The limits within which a file is handled.
const (
	// MaxFileSize in bytes.
	MaxFileSize = 16 << 20
	// MaxDepth of nested mappings and sequences.
	MaxDepth = 200
)
