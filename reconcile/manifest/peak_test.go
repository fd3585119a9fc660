package manifest

import (
	"errors"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"
)

func TestOneFileTakesABoundedAmountOfMemory(t *testing.T) {
	lines := 170_000
	for name, text := range map[string]string{
		"images":   "a:\n" + strings.Repeat("- image: ghcr.io/a/b:v1 # {\"$imagepolicy\": \"a:b\"}\n", lines),
		"comments": "a:\n" + strings.Repeat("- b # c\n# d\n\n", lines/2),
		"flow":     "a: [" + strings.Repeat("{a: 1},", lines) + "1]\n",
		"in text":  "a: |\n" + strings.Repeat("  - image: ghcr.io/a/b:v1 # x\n", lines),
	} {
		t.Run(name, func(t *testing.T) {
			if len(text) > MaxFileSize || weight([]byte(text)) > maxWeight {
				t.Fatal("the file is not read at all")
			}
			most := peak(func() {
				if _, err := Nodes("x.yaml", []byte(text)); err != nil {
					t.Error(err)
				}
			})
			t.Logf("%d KiB of text: %d MiB", len(text)>>10, most>>20)
			if most > 384<<20 {
				t.Errorf("one file takes %d MiB", most>>20)
			}
		})
	}
}

func TestAFileThatIsTooLargeIsNotParsed(t *testing.T) {
	for name, text := range map[string]string{
		"24 MiB":             "a: \"" + strings.Repeat("x", 24<<20) + "\"\n",
		"a million comments": "a:\n" + strings.Repeat("# c\n", 1_000_000) + "  b: c\n",
		"a million items":    "a: [" + strings.Repeat("1,", 1_000_000) + "1]\n",
		"a million keys":     strings.Repeat("k: v\n", 1_000_000),
	} {
		t.Run(name, func(t *testing.T) {
			data := []byte(text)
			runtime.GC()
			var before runtime.MemStats
			runtime.ReadMemStats(&before)
			most := peak(func() {
				if _, err := Nodes("x.yaml", data); !errors.Is(err, ErrTooLarge) {
					t.Errorf("got %v, want that it is too large", err)
				}
			})
			if most > before.HeapInuse+16<<20 {
				t.Errorf("it takes %d MiB to refuse it", (most-before.HeapInuse)>>20)
			}
		})
	}
}

// peak is the most heap that is in use while something runs. The collector is told of a limit below the one that is
// asked for, as in the Deployment (GOMEMLIMIT): without it the figure is what a late collector left lying, which
// follows the machine's load and not the file.
func peak(do func()) uint64 {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(160 << 20))
	runtime.GC()
	var most uint64
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapInuse)
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	do()
	close(stop)
	<-done
	return most
}
