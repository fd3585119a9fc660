// Package image makes Backstop's container image without Docker: an OCI layout
// with one image for each platform, from static binaries.
//
//	release image -o dist/image linux/amd64=dist/linux-amd64/backstop linux/arm64=…
//
// Each image is scratch and two layers:
//
//	/etc/passwd, /etc/group   the user 65532 that it runs as
//	/etc/ssl/certs            Mozilla's root certificates, at the version in go.mod
//	/tmp
//	/backstop                 the binary
//
// The same binaries give the same bytes on every machine: files have no time, the
// roots come from a Go module rather than from the machine, and the time of the
// image is the commit's.
package image

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// options say what is made.
type options struct {
	out     string
	rootfs  string
	name    name.Tag
	labels  map[string]string
	created time.Time
	// binaries by os/arch, in the order given.
	platforms []string
	binaries  []string
	// attached are the statements about each platform's image, in the order given.
	attached map[string][]attachment
}

// Run is the command: it parses the flags and makes the layout, or the files of its first layer.
func Run(args []string, stdout io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	if o.rootfs != "" {
		return writeRootfs(o.rootfs)
	}
	index, err := build(o)
	if err != nil {
		return err
	}
	digest, err := index.Digest()
	if err != nil {
		return fmt.Errorf("digest the index: %w", err)
	}
	if err := write(o, index); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s@%s in %s for %s\n", o.name, digest, o.out, strings.Join(o.platforms, " and "))
	return nil
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	flags.StringVar(&o.out, "o", "dist/image", "folder of the OCI layout; what is there is replaced")
	flags.StringVar(&o.rootfs, "rootfs", "", "only write the files of the first layer to this folder, for the Dockerfile")
	tag := flags.String("name", "ghcr.io/backstop-dev/backstop:dev", "name and tag that the layout gives the image")
	version := flags.String("version", "dev", "version for the labels")
	revision := flags.String("revision", "", "commit for the labels")
	created := flags.String("created", "0", "seconds since 1970 that the image says it was made at")
	o.attached = map[string][]attachment{}
	flags.Func("attach", "OS/ARCH=PREDICATETYPE=FILE: a statement about that platform's image; may be repeated", o.attach)
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	seconds, err := strconv.ParseInt(*created, 10, 64)
	if err != nil {
		return o, fmt.Errorf("-created %q is not a number of seconds", *created)
	}
	o.created = time.Unix(seconds, 0).UTC()
	if o.name, err = name.NewTag(*tag, name.StrictValidation); err != nil {
		return o, fmt.Errorf("-name: %w", err)
	}
	for _, arg := range flags.Args() {
		platform, file, ok := strings.Cut(arg, "=")
		if !ok || strings.Count(platform, "/") != 1 {
			return o, fmt.Errorf("%q is not OS/ARCH=BINARY", arg)
		}
		o.platforms, o.binaries = append(o.platforms, platform), append(o.binaries, file)
	}
	if len(o.platforms) == 0 && o.rootfs == "" {
		return o, fmt.Errorf("no binary given, as OS/ARCH=BINARY")
	}
	o.labels = map[string]string{
		"org.opencontainers.image.title":       "backstop",
		"org.opencontainers.image.description": "Takes images that cannot run back, in Git, beside Flux",
		"org.opencontainers.image.source":      "https://github.com/backstop-dev/backstop",
		"org.opencontainers.image.licenses":    "Apache-2.0",
		"org.opencontainers.image.version":     *version,
		"org.opencontainers.image.revision":    *revision,
		"org.opencontainers.image.created":     o.created.Format(time.RFC3339),
	}
	return o, nil
}

// build makes the index of one image for each platform.
func build(o options) (v1.ImageIndex, error) {
	files, err := baseFiles()
	if err != nil {
		return nil, err
	}
	base, err := layer(files)
	if err != nil {
		return nil, err
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for i, platform := range o.platforms {
		binary, err := os.ReadFile(o.binaries[i])
		if err != nil {
			return nil, fmt.Errorf("read the binary: %w", err)
		}
		top, err := layer([]file{{name: "backstop", mode: 0o755, data: binary}})
		if err != nil {
			return nil, err
		}
		system, arch, _ := strings.Cut(platform, "/")
		img, err := image(o, system, arch, base, top)
		if err != nil {
			return nil, fmt.Errorf("make the image for %s: %w", platform, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        img,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: system, Architecture: arch}},
		})
	}
	index, err = attest(o, index)
	if err != nil {
		return nil, err
	}
	annotated, ok := mutate.Annotations(index, o.labels).(v1.ImageIndex)
	if !ok {
		return nil, fmt.Errorf("annotate the index: not an index any more")
	}
	return annotated, nil
}

func image(o options, system, arch string, layers ...v1.Layer) (v1.Image, error) {
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.AppendLayers(img, layers...)
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = system, arch
	config.Created = v1.Time{Time: o.created}
	config.Config = v1.Config{
		User:       "65532:65532",
		Entrypoint: []string{"/backstop"},
		Env:        []string{"PATH=/"},
		WorkingDir: "/",
		Labels:     o.labels,
	}
	for i := range config.History {
		config.History[i].Created = config.Created
	}
	return mutate.ConfigFile(img, config)
}

// write replaces the layout. The name is there twice: for skopeo and others that
// follow the specification, and in full for containerd.
func write(o options, index v1.ImageIndex) error {
	if err := os.RemoveAll(o.out); err != nil {
		return fmt.Errorf("remove the old layout: %w", err)
	}
	path, err := layout.Write(o.out, empty.Index)
	if err != nil {
		return fmt.Errorf("write the layout: %w", err)
	}
	if err := path.AppendIndex(index, layout.WithAnnotations(map[string]string{
		"org.opencontainers.image.ref.name": o.name.TagStr(),
		"io.containerd.image.name":          o.name.String(),
	})); err != nil {
		return fmt.Errorf("write the layout: %w", err)
	}
	return nil
}
