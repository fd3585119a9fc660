package deliver_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/test/forgestub"
)

// stage is a provider with a fleet, and a cluster beside it.
func stage(b *testing.B, kind forgestub.Kind, apps int) (*forgestub.Forge, *cluster) {
	b.Helper()
	f, err := forgestub.Start(forgestub.Options{Kind: kind, Protected: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = f.Close() })
	if _, err := f.Commit("main", "Begin", fleetAt(apps, tagGood)); err != nil {
		b.Fatal(err)
	}
	return f, aCluster(b, f, "east")
}

func p(all []time.Duration, percent int) float64 {
	slices.Sort(all)
	return float64(all[min(len(all)*percent/100, len(all)-1)].Microseconds()) / 1000
}

// BenchmarkOpened is what is done between a verdict and an open pull request: a push that is refused, the push to the
// branch, the question whether there is one, and its opening. Then somebody merges it, and the branch states it.
func BenchmarkOpened(b *testing.B) {
	for _, kind := range []forgestub.Kind{forgestub.GitHub, forgestub.GitLab, forgestub.Gitea} {
		b.Run(string(kind), func(b *testing.B) {
			f, c := stage(b, kind, 20)
			var opened, landed []time.Duration
			for b.Loop() {
				b.StopTimer()
				app := fmt.Sprintf("app-%02d", len(opened)%20)
				file := "apps/production/" + app + ".yaml"
				if _, err := f.Commit("main", "Update "+app, map[string]string{file: fleetAt(20, tagBad)[file]}); err != nil {
					b.Fatal(err)
				}
				wanted := []reconcile.Revert{c.revert("east", app)}
				b.StartTimer()
				begin := time.Now()
				pr, err := c.delivers(wanted)
				if err != nil {
					b.Fatal(err)
				}
				opened = append(opened, time.Since(begin))
				b.StopTimer()
				if err := f.MergeAs(pr.Number, "jane", "squash"); err != nil {
					b.Fatal(err)
				}
				begin = time.Now()
				for held := 0; held == 0; {
					on, err := c.git.Look(b.Context(), c.src, wanted[0].Suspect, &wanted[0].Target, time.Time{})
					if err != nil {
						b.Fatal(err)
					}
					held = len(on.Held)
				}
				landed = append(landed, time.Since(begin))
				if _, err := f.Commit("main", "Go on", map[string]string{file: fleetAt(20, tagGood)[file]}); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			b.ReportMetric(p(opened, 50), "opened-p50-ms")
			b.ReportMetric(p(opened, 99), "opened-p99-ms")
			b.ReportMetric(p(landed, 99), "landed-p99-ms")
		})
	}
}

// BenchmarkTwoHundredAtOnce reverts 200 images that twenty commits brought in, each with a pull request of its own.
func BenchmarkTwoHundredAtOnce(b *testing.B) {
	const apps, commits = 200, 20
	for b.Loop() {
		b.StopTimer()
		f, c := stage(b, forgestub.GitHub, apps)
		var batches [commits][]reconcile.Revert
		bad := fleetAt(apps, tagBad)
		names := slices.DeleteFunc(slices.Sorted(maps.Keys(bad)), func(n string) bool { return strings.HasSuffix(n, "kustomization.yaml") })
		for i := range commits {
			files := map[string]string{}
			for _, n := range names[i*apps/commits : (i+1)*apps/commits] {
				files[n] = bad[n]
			}
			if _, err := f.Commit("main", fmt.Sprintf("Update %d", i), files); err != nil {
				b.Fatal(err)
			}
			for n := range files {
				app := strings.TrimSuffix(strings.TrimPrefix(n, "apps/production/"), ".yaml")
				batches[i] = append(batches[i], c.revert("east", app))
			}
		}
		b.StartTimer()
		begin := time.Now()
		for _, batch := range batches {
			if _, err := c.delivers(batch); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(time.Since(begin).Seconds(), "all-s")
		b.ReportMetric(float64(len(f.PRs())), "pull-requests")
		writes := 0
		for _, call := range f.Calls() {
			if strings.HasPrefix(call, "POST ") {
				writes++
			}
		}
		b.ReportMetric(float64(writes), "writes")
	}
}
