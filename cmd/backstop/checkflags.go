package main

import (
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/backstop-dev/backstop/gate/report"
)

// checkFlags are the flags of check.
type checkFlags struct {
	base, head, config, format, file, ca string
	platforms, remotes, keys, insecure   []string
	deep, offline, empty                 bool
	parallel                             int
	patience                             time.Duration
}

func (f *checkFlags) bind(flags *pflag.FlagSet) {
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
