package gate_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-containerregistry/pkg/crane"

	"github.com/backstop-dev/backstop/gate"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/registry"
	"github.com/backstop-dev/backstop/test/registrystub"
)

// BenchmarkAsk500Images asks a registry with 20 ms of latency for 500 images, beside crane in a loop. A wave is one
// answer for each of the images asked for at once.
func BenchmarkAsk500Images(b *testing.B) {
	const images, parallel, latency = 500, 16, 20 * time.Millisecond
	r, err := registrystub.Start(registrystub.Options{Latency: latency})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	files := fstest.MapFS{}
	var all []string
	for i := range images {
		tag := "v1.0." + strconv.Itoa(i)
		if _, err := r.PushImage("app", tag); err != nil {
			b.Fatal(err)
		}
		all = append(all, r.Host()+"/app:"+tag)
		files[fmt.Sprintf("%03d.yaml", i)] = &fstest.MapFile{Data: []byte(deployment("app", all[i]))}
	}
	for b.Loop() {
		r.Forget()
		start := time.Now()
		report, err := gate.Check(b.Context(), gate.Options{
			Head: gate.Tree{FS: files}, Registry: registry.New(registry.Options{}), Parallel: parallel,
			Platforms: []string{gate.AnyPlatform},
			Access:    func(context.Context, string) reconcile.Access { return reconcile.Access{} },
		})
		took := time.Since(start)
		if err != nil || len(report.Findings) != 0 || report.Asked != images {
			b.Fatalf("%d asked, %v, %v", report.Asked, report.Findings, err)
		}
		if n := r.Count("HEAD", "/v2/app/manifests/"); n != images {
			b.Errorf("%d HEAD requests for %d images", n, images)
		}
		start = time.Now()
		for _, image := range all[:50] {
			if _, err := crane.Manifest(image, crane.Insecure); err != nil {
				b.Fatal(err)
			}
		}
		crane := time.Since(start) * images / 50
		waves := latency * ((images + parallel - 1) / parallel)
		b.ReportMetric(took.Seconds()*1000, "gate-ms")
		b.ReportMetric(float64(took)/float64(waves), "x-of-waves")
		b.ReportMetric(float64(crane)/float64(took), "x-faster-than-crane")
	}
}

// BenchmarkReadAndBuild reads 4,200 files and builds 1,400 kustomizations: 700 apps in two environments.
func BenchmarkReadAndBuild(b *testing.B) {
	dir := b.TempDir()
	put := func(name, text string) {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	for i := range 700 {
		app := fmt.Sprintf("apps/app%d", i)
		put(app+"/base/deployment.yaml", deployment("app", "ghcr.io/acme/app"))
		put(app+"/base/service.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: app}\nspec: {ports: [{port: 80}]}\n")
		put(app+"/base/config.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: app}\ndata: {key: value}\n")
		put(app+"/base/kustomization.yaml", "resources: [deployment.yaml, service.yaml, config.yaml]\n")
		for _, env := range []string{"staging", "production"} {
			put(app+"/"+env+"/kustomization.yaml",
				fmt.Sprintf("resources: [../base]\nnamespace: %s\nimages: [{name: ghcr.io/acme/app, newTag: %[1]s-v%d}]\n", env, i))
		}
	}
	files, err := gate.OpenFolder(dir)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		start := time.Now()
		report, err := gate.Check(b.Context(), gate.Options{Head: gate.Tree{FS: files}})
		if err != nil || report.Files != 4200 || len(report.Built) != 1400 || len(report.Images) != 1400 {
			b.Fatalf("%d files, %d built, %d images, %v", report.Files, len(report.Built), len(report.Images), err)
		}
		b.ReportMetric(time.Since(start).Seconds(), "s")
		b.ReportMetric(memory(b), "MB")
	}
}

// memory is the most that the process ever had, in MB.
func memory(b *testing.B) float64 {
	b.Helper()
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.Sys) / 1e6
	}
	_, after, _ := strings.Cut(string(data), "VmHWM:")
	kb, err := strconv.Atoi(strings.Fields(after)[0])
	if err != nil {
		b.Fatal(err)
	}
	return float64(kb) / 1e3
}
