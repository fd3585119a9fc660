//go:build tools

// Package gitea pins the server that scripts/gitea.sh builds.
package gitea

import _ "code.gitea.io/gitea"
