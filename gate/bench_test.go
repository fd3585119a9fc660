package gate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-containerregistry/pkg/crane"

	"github.com/backstop-dev/backstop/gate"
	"github.com/backstop-dev/backstop/gate/report"
	"github.com/backstop-dev/backstop/gate/sources"
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
			Head: sources.Tree{FS: files}, Registry: registry.New(registry.Options{}), Parallel: parallel,
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
		for _, image := range all {
			if _, err := crane.Manifest(image, crane.Insecure); err != nil {
				b.Fatal(err)
			}
		}
		crane := time.Since(start)
		waves := latency * ((images + parallel - 1) / parallel)
		b.ReportMetric(took.Seconds()*1000, "gate-ms")
		b.ReportMetric(float64(took)/float64(waves), "x-of-waves")
		b.ReportMetric(float64(crane)/float64(took), "x-faster-than-crane")
	}
}

// BenchmarkReadAndBuild reads 4,200 files and builds 1,400 kustomizations, 700 apps in two environments: the command
// itself, from its start to its end, with the most memory that it ever had.
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
	backstop := filepath.Join(b.TempDir(), "backstop")
	// As the Makefile builds it.
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", backstop, "../cmd/backstop")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("build backstop: %v: %s", err, out)
	}
	for b.Loop() {
		var out bytes.Buffer
		cmd := exec.Command(backstop, "check", "--offline", "-o", "json", dir)
		cmd.Stdout = &out
		start := time.Now()
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		used := peak(cmd.Process.Pid, ended, b)
		b.ReportMetric(time.Since(start).Seconds(), "s")
		b.ReportMetric(used, "MB")
		b.ReportMetric((cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), "cpu-s")
		var report report.Report
		if err := json.Unmarshal(out.Bytes(), &report); err != nil {
			b.Fatal(err)
		}
		if report.Files != 4200 || len(report.Built) != 1400 || len(report.Images) != 1400 {
			b.Fatalf("%d files, %d built, %d images", report.Files, len(report.Built), len(report.Images))
		}
	}
}

// peak is the most memory that a process had while it ran, in MB. What the kernel says of it afterwards counts what its
// parent had too.
func peak(pid int, ended <-chan error, b *testing.B) float64 {
	b.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	most := 0.0
	for {
		select {
		case err := <-ended:
			if err != nil {
				b.Fatalf("check: %v", err)
			}
			return most
		case <-tick.C:
			data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			_, after, ok := strings.Cut(string(data), "VmHWM:")
			if err != nil || !ok {
				continue
			}
			if kb, err := strconv.Atoi(strings.Fields(after)[0]); err == nil {
				most = max(most, float64(kb)/1e3)
			}
		}
	}
}
