package integration

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
	"github.com/backstop-dev/backstop/test/gitserver"
	"github.com/backstop-dev/backstop/test/proxy"
	"github.com/backstop-dev/backstop/test/registrystub"
)

const anImageGoesBad = "an image goes bad"

// mayhem is all that may happen. What lasts is ended by h.later or by heal.
var mayhem = map[string]func(*havoc, chaosStep){
	anImageGoesBad: func(h *havoc, s chaosStep) {
		app := h.app(s)
		h.newest[app]++
		h.bad[h.publishBad(app, fleet.Tag(prod, h.newest[app]))] = app
		h.scan(app)
	},
	"a good image": func(h *havoc, s chaosStep) {
		app := h.app(s)
		h.newest[app]++
		h.Publish(app, fleet.Tag(prod, h.newest[app]))
	},
	"a sidecar is killed": func(h *havoc, s chaosStep) {
		c := h.sidecar(s)
		c.Kill()
		c.start(h)
	},
	"a sidecar is stopped": func(h *havoc, s chaosStep) {
		c := h.sidecar(s)
		c.Stop(30 * time.Second)
		c.start(h)
	},
	"a sidecar is killed at an effect": func(h *havoc, s chaosStep) {
		c, when, killed := h.sidecar(s), []proxy.When{proxy.Before, proxy.After}[s.which%2], make(chan struct{})
		victim := c.Sidecar
		h.Tap.Hook(proxy.At(len(h.Tap.Seen())+1+s.which%7, when, func(proxy.Request) {
			victim.Kill()
			close(killed)
		}))
		select {
		case <-killed:
			c.start(h)
		case <-time.After(s.lasts): // so few effects were left
			h.Tap.Hook(nil)
			select {
			case <-killed:
				c.start(h)
			default:
			}
		}
	},
	"the API server is gone": func(h *havoc, s chaosStep) {
		h.APIProxy.Refuse()
		h.later(s, h.APIProxy.Admit)
	},
	"the API server is slow": func(h *havoc, s chaosStep) {
		h.Tap.Hook(func(r proxy.Request, when proxy.When) bool {
			time.Sleep(100 * time.Millisecond)
			return false
		})
		h.later(s, func() { h.Tap.Hook(nil) })
	},
	"answers are lost": func(h *havoc, s chaosStep) {
		var n atomic.Int32
		h.Tap.Hook(func(_ proxy.Request, when proxy.When) bool {
			return when == proxy.After && n.Add(1)%3 == 0
		})
		h.later(s, func() { h.Tap.Hook(nil) })
	},
	"the API server hangs": func(h *havoc, s chaosStep) {
		over := make(chan struct{})
		h.Tap.Hook(func(proxy.Request, proxy.When) bool {
			<-over
			return false
		})
		h.later(s, func() { close(over); h.Tap.Hook(nil) })
	},
	"the API server's connections are half-open": func(h *havoc, s chaosStep) {
		h.APIProxy.HalfOpen()
		h.later(s, h.APIProxy.WhollyOpen)
	},
	"the API server has a wrong certificate": func(h *havoc, s chaosStep) {
		h.APIProxy.Impostor()
		h.later(s, h.APIProxy.Genuine)
	},
	"etcd is compacted": func(h *havoc, _ chaosStep) { h.must(h.Env.Compact(h.t.Context())) },
	"a sidecar sleeps, and its clock jumps": func(h *havoc, s chaosStep) {
		victim := h.sidecar(s).Sidecar
		victim.Signal(syscall.SIGSTOP)
		h.later(s, func() { victim.Signal(syscall.SIGCONT) })
	},
	"a disk is full": func(h *havoc, s chaosStep) {
		c := h.sidecar(s)
		if c.disk == "" {
			return // only root has one to fill
		}
		full := filepath.Join(c.disk, "full")
		fill(full)
		h.later(s, func() { _ = os.Remove(full) })
	},
	"Slack is away": func(h *havoc, s chaosStep) {
		h.room.slack.Leave()
		h.later(s, h.room.slack.Mend)
	},
	"the Git server's connections are half-open": func(h *havoc, s chaosStep) {
		h.GitProxy.HalfOpen()
		h.later(s, h.GitProxy.WhollyOpen)
	},
	"the Git server is gone": func(h *havoc, s chaosStep) {
		h.GitProxy.Refuse()
		h.later(s, h.GitProxy.Admit)
	},
	"the Git server answers 503": func(h *havoc, s chaosStep) {
		h.Git.SetFault(toBackstop(gitserver.Answer(http.StatusServiceUnavailable, "try later")))
		h.later(s, func() { h.Git.SetFault(nil) })
	},
	"pushes are refused": func(h *havoc, s chaosStep) {
		h.Git.SetFault(toBackstop(gitserver.On(push, gitserver.Answer(http.StatusUnauthorized, "who are you"))))
		h.later(s, func() { h.Git.SetFault(nil) })
	},
	"the Git server hangs": func(h *havoc, s chaosStep) {
		h.Git.SetFault(toBackstop(h.Git.Hang()))
		h.later(s, func() { h.Git.SetFault(nil) })
	},
	"the registry fails": func(h *havoc, s chaosStep) {
		faults := []registrystub.Fault{
			registrystub.Status(http.StatusInternalServerError), registrystub.Status(http.StatusUnauthorized),
			registrystub.TooMany("1"), registrystub.HTML(), registrystub.Hidden(), {Cut: true},
		}
		h.later(s, h.Registry.Fail("/v2/", faults[s.which%len(faults)]))
	},
	"a person pushes": func(h *havoc, s chaosStep) {
		file := fmt.Sprintf("notes/%d.md", len(h.pushed))
		h.pushed = append(h.pushed, file)
		h.Until("a person pushes, or pushes again", func() error {
			if err := h.Alice.Pull(h.t.Context()); err != nil {
				return err
			}
			h.must(h.Alice.Write(map[string]string{file: "hello\n"}))
			_, err := h.Alice.Push(h.t.Context(), "Say hello")
			return err
		})
	},
	"a person rewrites the tip": func(h *havoc, s chaosStep) {
		h.Until("a person rewrites the tip, or tries again", func() error {
			if err := h.Alice.Pull(h.t.Context()); err != nil {
				return err
			}
			tip, err := h.Alice.Git(h.t.Context(), "rev-parse", "HEAD")
			h.must(err)
			_, err = h.Alice.Git(h.t.Context(), "commit", "--amend", "--no-edit", "--quiet", "--date=now")
			h.must(err)
			_, err = h.Alice.Git(h.t.Context(), "push", "--quiet", "--force-with-lease="+fleet.Branch+":"+tip, "origin", "HEAD:refs/heads/"+fleet.Branch)
			return err
		})
	},
	"a person reverts automation": func(h *havoc, _ chaosStep) {
		author, _ := h.Alice.Git(h.t.Context(), "--git-dir="+h.Repo, "log", "-1", "--format=%an", fleet.Branch)
		if author != fleet.Author {
			return
		}
		// Whoever is faster; automation writes it again.
		_, _ = h.Alice.Revert(h.t.Context(), "HEAD")
	},
	"a mirror is damaged": func(h *havoc, s chaosStep) {
		c := h.sidecar(s)
		c.Kill()
		var files []string
		h.must(filepath.WalkDir(c.storage, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				files = append(files, path)
			}
			return err
		}))
		if len(files) > 0 {
			h.must(os.Truncate(files[s.which%len(files)], 0))
		}
		c.start(h)
	},
	"the branch is deleted": func(h *havoc, s chaosStep) {
		ref, tip := "refs/heads/"+fleet.Branch, h.Tip()
		if _, err := h.Alice.Git(h.t.Context(), "--git-dir="+h.Repo, "update-ref", "-d", ref, tip); err != nil {
			return // somebody pushed in between
		}
		time.Sleep(min(s.lasts, time.Second))
		// Unless somebody pushed it again.
		_, _ = h.Alice.Git(h.t.Context(), "--git-dir="+h.Repo, "update-ref", ref, tip, strings.Repeat("0", 40))
	},
	"a policy is suspended": func(h *havoc, s chaosStep) {
		p := h.policies[s.which%len(h.policies)]
		h.amend(p, func(p *v1alpha1.RollbackPolicy) { p.Spec.Suspend = true })
		time.Sleep(s.lasts)
		h.amend(p, func(p *v1alpha1.RollbackPolicy) { p.Spec.Suspend = false })
	},
	"a policy is deleted": func(h *havoc, s chaosStep) {
		i := s.which % len(h.policies)
		p := h.policies[i]
		h.must(h.Client.Delete(h.t.Context(), p))
		time.Sleep(s.lasts)
		again := &v1alpha1.RollbackPolicy{Spec: p.Spec}
		again.Namespace, again.Name = p.Namespace, p.Name
		h.must(h.Client.Create(h.t.Context(), again))
		h.policies[i] = again
	},
	"two people approve at once": func(h *havoc, _ chaosStep) { h.approveAll() },
}

func (h *havoc) app(s chaosStep) string { return h.Fleet.Apps[s.which%len(h.Fleet.Apps)] }

func (h *havoc) sidecar(s chaosStep) *chaosSidecar { return h.sidecars[s.which%len(h.sidecars)] }

// later ends what lasts.
func (h *havoc) later(s chaosStep, end func()) {
	h.healing.Go(func() {
		time.Sleep(s.lasts)
		end()
	})
}

// heal ends every fault, also one that began while another of its kind lasted.
func (h *havoc) heal() {
	h.Tap.Hook(nil)
	h.Git.SetFault(nil)
	h.Registry.Heal()
	h.room.slack.Mend()
	for _, p := range []*proxy.Proxy{h.APIProxy, h.GitProxy} {
		p.Admit()
		p.WhollyOpen()
		p.Genuine()
	}
	for _, c := range h.sidecars {
		c.Signal(syscall.SIGCONT)
		if c.disk != "" {
			_ = os.Remove(filepath.Join(c.disk, "full"))
		}
	}
}

// disk gives a disk of its own, small enough to be filled; empty where only root could have one.
func disk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if exec.Command("mount", "-t", "tmpfs", "-o", "size=16m,mode=0700", "backstop-chaos", dir).Run() != nil {
		return ""
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "--lazy", dir).CombinedOutput(); err != nil {
			t.Errorf("unmount %s: %v: %s", dir, err, out)
		}
	})
	return dir
}

// fill takes all that is left of a disk.
func fill(name string) {
	f, err := os.Create(name)
	if err != nil {
		return // it is full already
	}
	defer f.Close()
	for chunk := make([]byte, 64<<10); ; {
		if _, err := f.Write(chunk); err != nil {
			return
		}
	}
}
