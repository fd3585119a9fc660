package release

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// pack makes an archive for each platform, and lists beside it what its binary holds.
func (r *release) pack(ctx context.Context) error {
	shared, err := r.completions(ctx)
	if err != nil {
		return err
	}
	for _, name := range []string{"LICENSE", "README.md", "scripts/kubectl_complete-backstop"} {
		data, err := os.ReadFile(filepath.Join(r.root, name))
		if err != nil {
			return fmt.Errorf("read what goes into the archives: %w", err)
		}
		f := file{name: filepath.Base(name), mode: 0o644, data: data}
		if f.name == "kubectl_complete-backstop" {
			f.mode = 0o755
		}
		shared = append(shared, f)
	}
	for _, p := range r.platforms {
		data, err := os.ReadFile(r.compiled(p, "backstop"))
		if err != nil {
			return fmt.Errorf("read the binary: %w", err)
		}
		files := append([]file{{name: p.binary("backstop"), mode: 0o755, data: data}}, shared...)
		base := fmt.Sprintf("backstop_%s_%s_%s", r.bare, p.os, p.arch)
		packed, name := []byte(nil), base+".tar.gz"
		if p.os == "windows" {
			name = base + ".zip"
			packed, err = zipped(files, r.created)
		} else {
			packed, err = tarball(files, r.created)
		}
		if err != nil {
			return err
		}
		if err := r.write(name, packed); err != nil {
			return err
		}
		r.archives[p] = archive{name: name, sha256: sum(packed)}
		bill, err := r.sbom(r.compiled(p, "backstop"), base)
		if err != nil {
			return err
		}
		if err := r.write(base+".spdx.json", bill); err != nil {
			return err
		}
	}
	return nil
}

// tarball packs files, owned by root, each with the one time.
func tarball(files []file, at time.Time) ([]byte, error) {
	var buf bytes.Buffer
	compressed, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	w := tar.NewWriter(compressed)
	for _, f := range files {
		header := &tar.Header{
			Typeflag: tar.TypeReg, Name: f.name, Mode: f.mode, Size: int64(len(f.data)), ModTime: at, Format: tar.FormatPAX,
		}
		if err := w.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("pack %s: %w", f.name, err)
		}
		if _, err := w.Write(f.data); err != nil {
			return nil, fmt.Errorf("pack %s: %w", f.name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("end the archive: %w", err)
	}
	if err := compressed.Close(); err != nil {
		return nil, fmt.Errorf("compress the archive: %w", err)
	}
	return buf.Bytes(), nil
}

// zipped is the same for Windows.
func zipped(files []file, at time.Time) ([]byte, error) {
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for _, f := range files {
		header := &zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: at}
		header.SetMode(os.FileMode(f.mode))
		into, err := w.CreateHeader(header)
		if err != nil {
			return nil, fmt.Errorf("pack %s: %w", f.name, err)
		}
		if _, err := into.Write(f.data); err != nil {
			return nil, fmt.Errorf("pack %s: %w", f.name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("end the archive: %w", err)
	}
	return buf.Bytes(), nil
}
