package chart

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime/metrics"
	"strings"
	"time"

	"github.com/backstop-dev/backstop/reconcile/render"
)

// workerSign is the variable that makes a process a worker. Its environment is empty otherwise.
const workerSign = "BACKSTOP_CHART_WORKER"

const (
	// maxMemory is what the process of a chart may take.
	maxMemory = 512 << 20
	// workerStart is how long a worker may take to begin.
	workerStart = 30 * time.Second
	// exitHeavy is how a worker ends that takes too much memory.
	exitHeavy = 3
)

func init() {
	if os.Getenv(workerSign) != "" {
		os.Exit(serveCharts(os.Stdin, os.Stdout)) //nolint:forbidigo // the process is a worker and has no main
	}
}

// reply is what a worker makes of a job. The first, which is empty, says that it has begun.
type reply struct {
	Data []byte
	// Library means that it is a library chart. Missing names a dependency that it lacks, Err any other fault.
	Library bool
	Missing string
	Err     string
}

// serveCharts renders charts until no more come.
func serveCharts(in io.Reader, out io.Writer) int {
	limitMemory(2 * maxMemory)
	go watchMemory()
	jobs := make(chan *Job)
	go func() {
		dec := json.NewDecoder(in)
		for {
			job := &Job{}
			if err := dec.Decode(job); err != nil {
				os.Exit(0) //nolint:forbidigo // whoever asked is gone, and a template cannot be stopped
			}
			jobs <- job
		}
	}()
	enc := json.NewEncoder(out)
	if enc.Encode(reply{}) != nil {
		return 1
	}
	for job := range jobs {
		var answer reply
		data, err := job.run()
		var missing *NotVendored
		switch {
		case err == nil:
			answer.Data = data
		case errors.Is(err, ErrLibrary):
			answer.Library = true
		case errors.As(err, &missing):
			answer.Missing = missing.dependency
		default:
			answer.Err = render.Words(err)
		}
		if enc.Encode(answer) != nil {
			return 1
		}
	}
	return 0
}

// watchMemory ends the process when it takes too much.
func watchMemory() {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	for range time.Tick(2 * time.Millisecond) {
		metrics.Read(samples)
		if samples[0].Value.Uint64()-samples[1].Value.Uint64() > maxMemory {
			os.Exit(exitHeavy) //nolint:forbidigo // nothing else stops a template
		}
	}
}

// Worker is a process that renders charts, one after the other. It begins with the first and after each that it
// had to be ended for.
type Worker struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *json.Decoder
	stderr bytes.Buffer
}

func (w *Worker) start() error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("start a process for charts: %w", err)
	}
	w.cmd = exec.Command(program)
	w.cmd.Env = []string{workerSign + "=1"}
	w.stderr.Reset()
	w.cmd.Stderr = &w.stderr
	out, err := w.cmd.StdoutPipe()
	if err == nil {
		w.in, err = w.cmd.StdinPipe()
	}
	if err == nil {
		err = w.cmd.Start()
	}
	if err != nil {
		w.cmd = nil
		return fmt.Errorf("start a process for charts: %w", err)
	}
	w.out = json.NewDecoder(out)
	if _, err := w.answer(nil, workerStart); err != nil {
		return fmt.Errorf("start a process for charts: %w", err)
	}
	return nil
}

// Close ends the process, and gives how it ended.
func (w *Worker) Close() error {
	if w.cmd == nil {
		return nil
	}
	_ = w.in.Close()
	_ = w.cmd.Process.Kill()
	err := w.cmd.Wait()
	w.cmd = nil
	return err
}

// Render gives what a chart renders. A chart that takes too long or too much ends with its process.
func (w *Worker) Render(job *Job, limit time.Duration) ([]byte, error) {
	if w.cmd == nil {
		if err := w.start(); err != nil {
			return nil, err
		}
	}
	a, err := w.answer(job, limit)
	switch {
	case err != nil:
		return nil, err
	case a.Library:
		return nil, ErrLibrary
	case a.Missing != "":
		return nil, &NotVendored{a.Missing}
	case a.Err != "":
		return nil, errors.New(a.Err)
	}
	return a.Data, nil
}

// answer sends a job, where there is one, and waits for what the worker says.
func (w *Worker) answer(job *Job, limit time.Duration) (*reply, error) {
	var a reply
	done := make(chan error, 1)
	in, out := w.in, w.out
	go func() {
		var err error
		if job != nil {
			err = json.NewEncoder(in).Encode(job)
		}
		if err == nil {
			err = out.Decode(&a)
		}
		done <- err
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-done:
		if err == nil {
			return &a, nil
		}
		ended := w.wait()
		var exit *exec.ExitError
		if errors.As(ended, &exit) && exit.ExitCode() == exitHeavy || starved.Match(w.stderr.Bytes()) {
			return nil, &Heavy{}
		}
		last, _, _ := strings.Cut(w.stderr.String(), "\n")
		return nil, fmt.Errorf("its process ended: %w: %s", cmp.Or(ended, err), last)
	case <-timer.C:
		_ = w.Close()
		<-done //nolint:errcheck // its error is that of a process that was killed
		return nil, &Slow{limit}
	}
}

// starved are the words with which Go ends a process that gets no more memory, or whose stack grew too large.
var starved = regexp.MustCompile(`fatal error: |failed to allocate|cannot allocate`)

// wait lets a process that closed its output end by itself, for a moment, so that it explains why.
func (w *Worker) wait() error {
	timer := time.AfterFunc(time.Second, func() { _ = w.cmd.Process.Kill() })
	defer timer.Stop()
	err := w.cmd.Wait()
	_ = w.in.Close()
	w.cmd = nil
	return err
}

// Slow is a chart that takes too long.
type Slow struct{ limit time.Duration }

func (e *Slow) Error() string {
	return fmt.Sprintf("it took longer than %s", e.limit)
}

// Heavy is a chart that takes too much memory.
type Heavy struct{}

func (e *Heavy) Error() string {
	return fmt.Sprintf("it took more than %d MiB of memory", maxMemory>>20)
}
