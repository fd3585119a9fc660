// Command demo tells the main job as it happens: an image that the nodes cannot run is pushed, image automation writes
// it to Git, pods fail, Backstop asks on Slack, a person approves, Backstop reverts and holds, Flux applies, and a
// newer image lifts the hold. Then somebody runs kubectl rollout undo, and a person adopts it into Git. At last an
// image crashes as it starts, takes both old pods away, and goes back too.
//
//	etcd, kube-apiserver, kube-controller-manager     real, on loopback
//	Git server, OCI registry                          real protocols, on loopback
//	Slack                                             a stand-in, whose page shows the channel in a browser
//	kubelet, Flux's apply, image automation           stand-ins (--flux DIR runs Flux's own controllers)
//	the sidecar                                       the real binary, a process of its own, under its own ServiceAccount
//
// It ends with exit code 0 only if every step was observed, in the cluster and in Git.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/go-logr/logr"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
)

func main() {
	ctrllog.SetLogger(logr.Discard()) // or controller-runtime complains that nobody did
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	binary := flag.String("sidecar", "bin/sidecar", "the sidecar's binary")
	flux := flag.String("flux", "", "folder with the binaries of Flux's own controllers, to run instead of stand-ins")
	gitea := flag.String("gitea", "", "folder of a Gitea, to run it as the Git server and deliver by pull request")
	keep := flag.Bool("keep", false, "wait for a click in the browser, and leave everything running until interrupted")
	flag.Parse()
	if err := demo(ctx, options{binary: *binary, flux: *flux, gitea: *gitea, keep: *keep}); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// options of the demo, as its flags say.
type options struct {
	binary, flux, gitea string
	keep                bool
}

func demo(ctx context.Context, o options) error {
	w, err := build(ctx, os.Stdout, o)
	defer w.stop()
	if err != nil {
		return err
	}
	w.byHand = o.keep
	if err := w.run(ctx, o.binary); err != nil {
		return err
	}
	told := w.story(ctx)
	w.epilogue(context.WithoutCancel(ctx))
	if o.keep {
		fmt.Printf("\nEverything is still running.\n  export KUBECONFIG=%s\n  git clone http://%s:%s@%s\n"+
			"  the sidecar's log: %s/backstop.log\n  Slack's channel: %s\nStop it with Ctrl-C.\n", w.env.Kubeconfig, gitUser,
			w.password, w.gitURL[len("http://"):], w.env.Dir, w.page)
		<-ctx.Done()
	}
	return told
}

// epilogue shows what a person would look at: the Rollbacks, the first of them as a whole, and what Git says.
func (w *world) epilogue(ctx context.Context) {
	byAge := []string{"get", "rollbacks", "-n", ns, "--sort-by=.metadata.creationTimestamp"}
	w.shows(ctx, byAge...)
	if names, err := w.env.Kubectl(ctx, append(byAge, "-o", "name")...); err == nil && names != "" {
		first, _, _ := strings.Cut(names, "\n")
		w.shows(ctx, "get", first, "-n", ns, "-o", "yaml")
	}
	out, _ := git(w.bare, "log", "--oneline", "main")
	fmt.Fprintf(w.out, "\n$ git log --oneline\n%s\n", out)
}

func (w *world) shows(ctx context.Context, args ...string) {
	out, err := w.env.Kubectl(ctx, args...)
	fmt.Fprintf(w.out, "\n$ kubectl %s\n%s", strings.Join(args, " "), out)
	if err != nil {
		fmt.Fprintln(w.out, err)
	}
}
