package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/backstop-dev/backstop/gate"
	"github.com/backstop-dev/backstop/gate/report"
	"github.com/backstop-dev/backstop/internal/build"
	"github.com/backstop-dev/backstop/reconcile/registry"
)

const checkHelp = `Checks every image that the manifests below PATH would run, before Flux sees them: does it exist, for
the platforms that it has to run on, and does it keep the guardrails of .backstop.yaml? Kustomizations are built as
Flux builds them, so that what is checked is what would be applied. Nothing in the repository is executed.

With --base only what a change brings in is reported. Registries are asked with the credentials of docker login and
its credential helpers, and those of the cloud that it runs in.

  0    clean
  1    findings
  2    wrong usage, a .backstop.yaml that cannot be read, or a report that cannot be written
  3    nothing is wrong as far as could be told, but something could not: a registry that did not answer, a remote base
  134  Backstop itself crashed (SIGABRT): a bug, please report what it printed`

func checkCommand(std streams) *cobra.Command {
	var f checkFlags
	cmd := &cobra.Command{
		Use:   "check [PATH…]",
		Short: "check images and guardrails before a merge",
		Long:  checkHelp,
		Example: `  $backstop check
  $backstop check --base origin/main
  $backstop check apps/production --platform linux/amd64,linux/arm64 --deep
  $backstop check --offline -o sarif --output-file backstop.sarif`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains(report.Formats(), f.format) {
				return badUsage("-o %s: want one of %s", f.format, strings.Join(report.Formats(), ", "))
			}
			code, err := f.run(cmd.Context(), args, std)
			var usage *usageError
			switch {
			case errors.As(err, &usage):
				return err
			case err != nil:
				fmt.Fprintf(std.err, "backstop: %s\n", oneLine(err.Error()))
				return exitCode(exitUnknown)
			case code != exitOK:
				return exitCode(code)
			}
			return nil
		},
	}
	f.bind(cmd.Flags())
	completeFlag(cmd, "output", outputs(report.Formats()...))
	return cmd
}

// run checks, writes the report and gives the exit code.
func (f *checkFlags) run(ctx context.Context, paths []string, std streams) (int, error) {
	o := gate.Options{
		AllowRemote: f.remotes, Platforms: f.platforms, Deep: f.deep, Parallel: f.parallel, Patience: f.patience,
	}
	if err := f.check(); err != nil {
		return 0, err
	}
	if len(paths) == 0 {
		paths = []string{"."}
	}
	trees, err := f.trees(paths, &o)
	if err != nil {
		return 0, err
	}
	defer trees.close()
	if err := f.guardrails(&o); err != nil {
		return 0, err
	}
	if !f.offline {
		if err := f.online(&o); err != nil {
			return 0, err
		}
	}
	if os.Getenv("GOGC") == "" {
		// A check ends soon, and reads more than it keeps: less memory for a little more work.
		debug.SetGCPercent(50)
	}
	done := progress(std.err, &o)
	loud := muteStderr()
	found, err := gate.Check(ctx, o)
	loud()
	done()
	if err != nil {
		return 0, err
	}
	if found.Manifests == 0 && !f.empty {
		found.Findings = append(found.Findings, gate.Nothing(o.Paths))
	}
	for _, note := range trees.notes {
		fmt.Fprintln(std.err, "backstop: "+note)
	}
	if err := f.write(found, std); err != nil {
		// The report is lost, and so are its findings to whoever reads that file alone.
		fmt.Fprintf(std.err, "backstop: %s\n", oneLine(err.Error()))
		return exitUsage, nil
	}
	return codeOf(found), nil
}

// codeOf is the exit code of a report.
func codeOf(r *report.Report) int {
	switch {
	case r.Count(report.LevelError) > 0:
		return exitError
	case r.Count(report.LevelUnknown) > 0:
		return exitUnknown
	}
	return exitOK
}

// write writes the report to where it was asked for.
func (f *checkFlags) write(r *report.Report, std streams) error {
	if f.file == "" {
		// The formats of machines do their own escaping.
		return r.Write(raw(std.out), f.format, colours(std.out))
	}
	file, err := os.Create(f.file)
	if err == nil {
		err = errors.Join(r.Write(file, f.format, false), file.Close())
	}
	if err != nil {
		err = fmt.Errorf("write the report: %w", err)
	}
	return errors.Join(err, r.Write(std.out, "text", colours(std.out)))
}

// guardrails reads the configuration.
func (f *checkFlags) guardrails(o *gate.Options) error {
	var err error
	if f.config != "" {
		data, rerr := os.ReadFile(f.config)
		if rerr != nil {
			return badUsage("--config %s: %s", f.config, pathWords(rerr))
		}
		o.Config, err = gate.ParseConfig(f.config, data)
	} else {
		o.Config, err = gate.FindConfig(o.Head.FS, f.dir(o))
	}
	if err != nil {
		return badUsage("%s", err)
	}
	// What is fetched is not for the change to say: the guardrails that were named, or those before the change.
	switch {
	case f.config != "":
		o.AllowRemote = append(o.AllowRemote, o.Config.RemoteBases...)
	case o.Base.FS != nil:
		if before, err := gate.FindConfig(o.Base.FS, f.dir(o)); err == nil {
			o.AllowRemote = append(o.AllowRemote, before.RemoteBases...)
		}
	}
	return nil
}

// dir is the folder in which guardrails are looked for first.
func (f *checkFlags) dir(o *gate.Options) string {
	dir := o.Paths[0]
	if info, err := fs.Stat(o.Head.FS, dir); err == nil && !info.IsDir() {
		dir = path.Dir(dir)
	}
	return dir
}

// online gives the check a registry and what it needs to be let in.
func (f *checkFlags) online(o *gate.Options) error {
	r := registry.New(registry.Options{UserAgent: "backstop/" + build.Version()})
	a := &logins{keychain: keychain(), insecure: f.insecure}
	if f.ca != "" {
		ca, err := os.ReadFile(f.ca)
		if err != nil {
			return badUsage("--registry-ca %s: %s", f.ca, pathWords(err))
		}
		a.ca = ca
	}
	o.Registry, o.Access = r, a.access
	if len(f.keys) == 0 {
		return nil
	}
	var keys [][]byte
	for _, name := range f.keys {
		key, err := os.ReadFile(name)
		if err != nil {
			return badUsage("--verify-signature %s: %s", name, pathWords(err))
		}
		keys = append(keys, key)
	}
	v, err := gate.NewVerifier(r, keys)
	if err != nil {
		return badUsage("--verify-signature: %s", err)
	}
	o.Verify = v.Verify
	return nil
}

// muteStderr keeps what kustomize itself says about old fields of kustomizations off the terminal: the library knows no
// other way to be quiet. What it gives undoes it.
func muteStderr() func() {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return func() {}
	}
	stderr := os.Stderr
	os.Stderr = null
	return func() {
		os.Stderr = stderr
		_ = null.Close()
	}
}

// progress shows on a terminal how far a check is. What it gives clears the line.
func progress(out io.Writer, o *gate.Options) func() {
	file, ok := raw(out).(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return func() {}
	}
	var last time.Time
	o.Progress = func(step string, done, total int) {
		now := time.Now()
		if now.Sub(last) < 50*time.Millisecond && done != total {
			return
		}
		last = now
		of := ""
		if total > 0 {
			of = fmt.Sprintf(" of %d", total)
		}
		fmt.Fprintf(file, "\r\x1b[K%s: %d%s", step, done, of)
	}
	return func() { fmt.Fprint(file, "\r\x1b[K") }
}
