//go:build soak

package bench

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	reflectorv1 "github.com/fluxcd/image-reflector-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
)

// soak is a fleet of which something fails all the time.
type soak struct {
	*stage
	binary, storage, address string
	sidecar                  *sidecar
	began                    time.Time
	// commits, failures and restarts count what has happened; tag is the number of the newest tag.
	commits, failures, restarts, rotations, tag int
	samples                                     []sample
}

// sample is what the sidecar holds at one moment.
type sample struct {
	after                                      time.Duration
	rss, storage                               float64 // MB
	descriptors, goroutines, rollbacks, events float64
}

// number reads a variable of make soak.
func number(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// BenchmarkSoak has images fail, people commit, credentials change and the sidecar be killed for as long as it is told,
// and draws what the sidecar holds meanwhile.
func BenchmarkSoak(b *testing.B) {
	s := &soak{stage: newStage(b, 20)}
	s.binary, s.storage, s.address = s.release("sidecar"), b.TempDir(), free(b)
	c := newCrowd(s.stage)
	c.paused = true
	c.grow(number("SOAK_WORKLOADS", 10_000))
	for b.Loop() {
		s.began = time.Now()
		s.restart()
		end := s.began.Add(time.Duration(number("SOAK_MINUTES", 120)) * time.Minute)
		for round := 0; time.Now().Before(end); round++ {
			s.round(round)
		}
	}
	first, last := s.samples[len(s.samples)/4], s.samples[len(s.samples)-1]
	b.ReportMetric(first.rss, "MB-after-a-quarter")
	b.ReportMetric(last.rss, "MB-at-the-end")
	b.ReportMetric(last.descriptors, "descriptors")
	b.ReportMetric(last.goroutines, "goroutines")
	for what, n := range map[string]int{"rollbacks": s.failures, "commits": s.commits, "restarts": s.restarts, "rotations": s.rotations} {
		b.ReportMetric(float64(n), what)
	}
	load(b)
	s.write(c.size)
}

// round is one image that fails and is reverted, with all that goes on beside it.
func (s *soak) round(n int) {
	s.b.Helper()
	for range 16 {
		s.commits++
		_, err := s.alice.Push(s.b.Context(), s.note())
		s.must(err)
	}
	if n%20 == 10 {
		s.rotate()
	}
	if n%50 == 25 {
		s.sidecar.Kill()
		s.restart()
	}
	s.fail(s.fleet.Apps[n%len(s.fleet.Apps)])
	s.sample()
}

// note writes a file that is none of Flux's.
func (s *soak) note() string {
	s.must(s.alice.Pull(s.b.Context()))
	s.must(s.alice.Write(map[string]string{"notes.md": fmt.Sprintf("%d\n", s.commits)}))
	return fmt.Sprintf("Note %d", s.commits)
}

// fail has one app get an image that does not exist, and waits until it is reverted and seen to run.
func (s *soak) fail(app string) {
	s.b.Helper()
	ctx := s.b.Context()
	s.tag++
	bad := fleet.Tag(env, s.tag)
	p := &reflectorv1.ImagePolicy{}
	s.edit(p, s.fleet.Namespace(env), app, func() {
		p.Status.LatestRef = &reflectorv1.ImageRef{Name: s.fleet.Registry + "/" + app, Tag: bad}
	})
	// A hold of the time before is lifted first: under a hold no change is image automation's.
	s.must(s.alice.Pull(ctx))
	if s.tag > len(s.fleet.Apps) {
		s.must(s.alice.Write(map[string]string{s.fleet.File(env, app): s.fleet.Deployment(env, app)}))
		_, err := s.alice.Push(ctx, "Lift the hold of "+app)
		s.must(err)
		s.commits++
	}
	s.must(s.alice.Write(map[string]string{
		s.fleet.File(env, app): strings.Replace(s.fleet.Deployment(env, app), fleet.Tag(env, 0), bad, 1),
	}))
	_, err := s.alice.Push(ctx, "Update "+app)
	s.must(err)
	s.apply(bad, app)
	before := len(s.pushes())
	_, err = s.kubelet.fail(ctx, s.kubelet.await(s.b, app))
	s.must(err)
	s.until("the push", func() error {
		if len(s.pushes()) == before {
			return fmt.Errorf("nothing was pushed after the failure of %s", app)
		}
		return nil
	})
	s.apply(fleet.Tag(env, 0), app)
	s.until("the revert to be verified", func() error {
		var all v1alpha1.RollbackList
		if err := s.client.List(ctx, &all, client.InNamespace(s.fleet.Namespace(env))); err != nil {
			return err
		}
		for _, r := range all.Items {
			if r.Spec.Subject.Name == s.fleet.Image(app, bad) && r.Status.Phase == string(v1alpha1.ResultVerified) {
				return nil
			}
		}
		return fmt.Errorf("that of %s is not", app)
	})
	s.failures++
	s.commits += 3
}

// rotate changes the login of the Git server, in the Secret and on the server.
func (s *soak) rotate() {
	s.b.Helper()
	s.rotations++
	password := fmt.Sprintf("correct horse %d", s.rotations)
	secret := &corev1.Secret{}
	s.must(s.client.Get(s.b.Context(), types.NamespacedName{Namespace: s.fleet.FluxNamespace(), Name: fleet.SourceName}, secret))
	secret.Data["password"] = []byte(password)
	s.must(s.client.Update(s.b.Context(), secret))
	s.password.Store(&password)
}

// restart starts the sidecar on the storage that it had, with a token of its own.
func (s *soak) restart() {
	s.b.Helper()
	if s.sidecar != nil {
		s.restarts++
	}
	s.sidecar = s.start(s.binary, "--storage="+s.storage, "--metrics-addr="+s.address, "--history=20m")
}

func (s *soak) sample() {
	s.b.Helper()
	rss, err := s.sidecar.memory("VmRSS")
	s.must(err)
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.sidecar.pid))
	s.must(err)
	out := sample{after: time.Since(s.began), rss: rss, descriptors: float64(len(open)), goroutines: s.gauge("go_goroutines")}
	_ = filepath.WalkDir(s.storage, func(_ string, d fs.DirEntry, err error) error {
		if info, ierr := d.Info(); err == nil && ierr == nil && d.Type().IsRegular() {
			out.storage += float64(info.Size()) / 1e6
		}
		return nil
	})
	var rollbacks v1alpha1.RollbackList
	s.must(s.client.List(s.b.Context(), &rollbacks))
	var events corev1.EventList
	s.must(s.client.List(s.b.Context(), &events, client.InNamespace(s.fleet.Namespace(env))))
	out.rollbacks, out.events = float64(len(rollbacks.Items)), float64(len(events.Items))
	s.samples = append(s.samples, out)
}

// gauge reads a metric that has no labels.
func (s *soak) gauge(name string) float64 {
	s.b.Helper()
	ctx, cancel := context.WithTimeout(s.b.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.address+"/metrics", nil)
	s.must(err)
	resp, err := http.DefaultClient.Do(r)
	s.must(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	s.must(err)
	for line := range strings.Lines(string(text)) {
		var n float64
		if _, err := fmt.Sscanf(line, name+" %g", &n); err == nil {
			return n
		}
	}
	return 0
}

// free is an address that nobody listens at.
func free(b *testing.B) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// write writes the samples, and a picture of them, beside what SOAK_OUT names.
func (s *soak) write(workloads int) {
	s.b.Helper()
	out := os.Getenv("SOAK_OUT")
	if out == "" {
		return
	}
	f, err := os.Create(out + ".csv")
	s.must(err)
	defer f.Close()
	w := csv.NewWriter(f)
	for _, p := range s.samples {
		row := []string{fmt.Sprintf("%.0f", p.after.Seconds())}
		for _, l := range lines {
			row = append(row, fmt.Sprintf("%.1f", l.of(p)))
		}
		s.must(w.Write(row))
	}
	w.Flush()
	s.must(w.Error())
	title := fmt.Sprintf("%d minutes: %d workloads, %d rollbacks, %d commits, %d rotations, %d restarts",
		int(time.Since(s.began).Minutes()), workloads, s.failures, s.commits, s.rotations, s.restarts)
	s.must(os.WriteFile(out+".svg", []byte(picture(title, s.samples)), 0o644))
}

// lines are what is drawn, each on a scale of its own that begins at zero.
var lines = []struct {
	name string
	of   func(sample) float64
}{
	{"memory (VmRSS), MB", func(p sample) float64 { return p.rss }},
	{"open files and connections", func(p sample) float64 { return p.descriptors }},
	{"goroutines", func(p sample) float64 { return p.goroutines }},
	{"mirrors on disk, MB", func(p sample) float64 { return p.storage }},
	{"Rollbacks in the API server", func(p sample) float64 { return p.rollbacks }},
	{"Events in the API server", func(p sample) float64 { return p.events }},
}

// picture draws each line in a strip of its own, over time.
func picture(title string, samples []sample) string {
	const width, strip, left = 900.0, 90.0, 10.0
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="sans-serif" font-size="13">`+"\n",
		width+2*left, strip*float64(len(lines))+40)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="#fff"/><text x="%.0f" y="20" font-weight="bold">%s</text>`+"\n", left, title)
	whole := samples[len(samples)-1].after.Seconds()
	for i, l := range lines {
		most := 0.0
		for _, p := range samples {
			most = max(most, l.of(p))
		}
		top := 40 + strip*float64(i)
		fmt.Fprintf(&b, `<text x="%.0f" y="%.0f">%s: most %.0f, at the end %.0f</text>`+"\n", left, top+12, l.name, most,
			l.of(samples[len(samples)-1]))
		fmt.Fprintf(&b, `<path d="M%.0f %.0fh%.0f" stroke="#ccc"/><polyline fill="none" stroke="#1f6feb" points="`, left, top+80, width)
		for _, p := range samples {
			fmt.Fprintf(&b, "%.1f,%.1f ", left+width*p.after.Seconds()/whole, top+80-60*l.of(p)/max(most, 1))
		}
		b.WriteString(`"/>` + "\n")
	}
	b.WriteString("</svg>\n")
	return b.String()
}
