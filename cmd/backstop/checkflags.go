package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/backstop-dev/backstop/gate"
	"github.com/backstop-dev/backstop/gate/report"
)

// checkFlags are the flags of check.
type checkFlags struct {
	base, head, config, format, file, ca string
	platforms, remotes, keys, insecure   []string
	deep, offline, empty                 bool
	parallel                             int
	patience                             time.Duration
	// given are the flags as they were given.
	given *pflag.FlagSet
}

// check refuses flags that say nothing, or that do not go together.
func (f *checkFlags) check() error {
	switch {
	case strings.HasPrefix(f.base, "-"):
		return badUsage("--base %s: want a branch, a tag or a commit", f.base)
	case f.parallel < 1:
		return badUsage("--parallel %d: want at least 1", f.parallel)
	case f.patience < 0:
		return badUsage("--patience %s: want no less than 0s", f.patience)
	case slices.Contains(f.remotes, ""):
		return badUsage("--allow-remote is empty, which would allow any address: want one such as github.com/acme/")
	}
	for _, p := range f.platforms {
		if p != gate.AnyPlatform && strings.Count(p, "/") == 0 {
			return badUsage("--platform %s: want os/arch, such as linux/amd64, or %s", p, gate.AnyPlatform)
		}
	}
	if asks := given(f.given, "deep", "verify-signature", "platform"); f.offline && asks != "" {
		return badUsage("--%s asks the registry, which --offline leaves alone: give one of them", asks)
	}
	return f.writable()
}

// writable looks for the report's place before anything is asked for it. A file that stands there stays as it is.
func (f *checkFlags) writable() error {
	if f.file == "" {
		return nil
	}
	file, err := os.OpenFile(f.file, os.O_WRONLY, 0)
	switch {
	case err == nil:
		err = file.Close()
	case errors.Is(err, fs.ErrNotExist):
		_, err = os.Stat(filepath.Dir(f.file))
	}
	if err != nil {
		return badUsage("--output-file %s: %s", f.file, pathWords(err))
	}
	return nil
}

func (f *checkFlags) bind(flags *pflag.FlagSet) {
	f.given = flags
	flags.StringVar(&f.base, "base", "", "branch, tag or commit to compare with: report only what the change brings in")
	flags.StringVar(&f.head, "head", "", "branch, tag or commit to check (default: the files as they are)")
	flags.StringVar(&f.config, "config", "", "guardrails (default: .backstop.yaml in PATH or above)")
	flags.StringSliceVar(&f.platforms, "platform", nil, "platforms that images must run on, or any (default linux/amd64)")
	flags.BoolVar(&f.deep, "deep", false, "ask for every layer too")
	flags.StringArrayVar(&f.keys, "verify-signature", nil,
		"public key of cosign (a PEM file); one of those given must have signed every image")
	flags.BoolVar(&f.offline, "offline", false, "everything but the registry")
	flags.StringSliceVar(&f.remotes, "allow-remote", nil,
		"addresses that kustomizations may refer to, such as github.com/acme/")
	flags.StringSliceVar(&f.insecure, "insecure-registry", nil, "registries that may be asked over plain HTTP")
	flags.StringVar(&f.ca, "registry-ca", "", "certificates (PEM) by which registries are trusted too")
	flags.IntVar(&f.parallel, "parallel", 16, "images asked for at once")
	flags.DurationVar(&f.patience, "patience", 2*time.Minute, "how long to wait for a registry that asks to be left alone")
	flags.BoolVar(&f.empty, "allow-empty", false, "it is no finding that there are no manifests")
	flags.StringVarP(&f.format, "output", "o", "text", strings.Join(report.Formats(), ", "))
	flags.StringVar(&f.file, "output-file", "", "write the report there, and text to the terminal")
}
