package integration

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/backstop-dev/backstop/test/node"
	"github.com/backstop-dev/backstop/test/realflux"
	"github.com/backstop-dev/backstop/test/testenv"
)

// shared is what all tests of this binary share, begun by the first that asks.
type shared struct {
	once sync.Once
	env  *testenv.Env
	err  error

	install sync.Once // Backstop's RBAC and admission policies
	build   sync.Once // both programs
	bin     string    // the folder that they are in
	worlds  int

	realFlux sync.Once // Flux's own controllers, where FLUX names their folder
	flux     *realflux.Flux
	fluxErr  error

	mu    sync.Mutex
	lease sync.Mutex // held by the one test whose sidecars elect a leader: there is one Lease
}

var common shared

// worldsAtOnce is how many tests run beside each other where -parallel does not say: each waits more than it works
// (four of them keep one core busy).
const worldsAtOnce = 6

func TestMain(m *testing.M) {
	if parallel := flag.Lookup("test.parallel"); parallel != nil && runtime.GOMAXPROCS(0) < worldsAtOnce {
		// A default: what the command line says is read later, by Run.
		if err := parallel.Value.Set(strconv.Itoa(worldsAtOnce)); err != nil {
			panic(err)
		}
	}
	if os.Getenv("GORACE") == "" {
		// Programs that look for races sleep for a second when they exit; the tests start hundreds of them.
		os.Setenv("GORACE", "atexit_sleep_ms=50")
	}
	debug.SetGCPercent(400)           // a tenth of the stand-ins' time is spent on it otherwise
	ctrllog.SetLogger(logr.Discard()) // or controller-runtime complains that nobody did
	code := m.Run()
	if common.flux != nil {
		common.flux.Stop()
	}
	if common.env != nil {
		// Whatever ran asked for nothing that is not granted.
		if not, _, _, err := audit(context.Background(), common.env); err != nil || len(not) > 0 {
			fmt.Fprintf(os.Stderr, "used and not granted: %q, %v\n", not, err)
			code = 1
		}
		common.env.Stop()
	}
	os.Exit(code)
}

// environment brings up the control plane for the first test that needs it.
func environment(t *testing.T) *testenv.Env {
	t.Helper()
	common.once.Do(func() {
		// Not the test's context: the control plane outlives it.
		ctx := context.Background()
		log := slog.New(slog.NewTextHandler(os.Stderr, nil))
		if common.env, common.err = testenv.Start(ctx, testenv.Options{Log: log, Keep: os.Getenv("KEEP") != ""}); common.err != nil {
			return
		}
		// The node is there before any sidecar asks for its platform.
		common.err = node.Register(ctx, common.env.Config, node.Node{Name: "node-1", OS: "linux", Arch: "amd64"})
	})
	if common.err != nil {
		t.Fatal(common.err)
	}
	return common.env
}
