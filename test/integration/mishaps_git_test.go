package integration

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	automationv1 "github.com/fluxcd/image-automation-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/test/fleet"
	"github.com/backstop-dev/backstop/test/gitserver"
)

// mishapsOfGit are those between what is selected and what the cluster fetches.
func mishapsOfGit() map[string]mishap {
	login := func(name string) func(w *World) {
		return sourceSpec(func(s *sourcev1.GitRepositorySpec) {
			s.SecretRef = nil
			if name != "" {
				s.SecretRef = &meta.LocalObjectReference{Name: name}
			}
		})
	}
	fetches := func(d time.Duration) func(w *World) {
		return sourceSpec(func(s *sourcev1.GitRepositorySpec) { s.Interval.Duration = d })
	}
	runs := func(d time.Duration) func(w *World) {
		return automationSpec(func(s *automationv1.ImageUpdateAutomationSpec) { s.Interval.Duration = d })
	}
	says := func(change func(*automationv1.ImageUpdateAutomation)) func(w *World) {
		return func(w *World) {
			editStatus(w, &automationv1.ImageUpdateAutomation{}, w.Fleet.Namespace(prod), prod, change)
		}
	}
	automation := func(w *World) *automationv1.ImageUpdateAutomation {
		return fleet.Get[*automationv1.ImageUpdateAutomation](w.Fleet, w.Fleet.Namespace(prod), prod).DeepCopy()
	}
	deployed := func(name string) func(w *World) { return sourceOf("GitRepository", name) }
	return map[string]mishap{
		"the automation is suspended": {
			hop: "automation", why: "suspended", fix: "flux -n NS resume image update production",
			spoil: automationSpec(func(s *automationv1.ImageUpdateAutomationSpec) { s.Suspend = true }),
		},
		"the automation updates another folder": {
			hop: "automation", why: "updates apps/staging alone", fix: "spec.update.path",
			spoil: automationSpec(func(s *automationv1.ImageUpdateAutomationSpec) { s.Update.Path = "./apps/staging" }),
			mend:  by(automationSpec(func(s *automationv1.ImageUpdateAutomationSpec) { s.Update.Path = "./apps/production" })),
		},
		"the automation pushes to another branch": {
			hop: "automation", why: "pushes to updates", fix: "spec.git.push.branch: main",
			spoil: automationSpec(func(s *automationv1.ImageUpdateAutomationSpec) { s.GitSpec.Push.Branch = "updates" }),
			mend:  by(automationSpec(func(s *automationv1.ImageUpdateAutomationSpec) { s.GitSpec.Push.Branch = "main" })),
		},
		"the automation does not select the policy": {
			hop: "automation", why: "does not select", fix: "team=web",
			spoil: automationSpec(func(s *automationv1.ImageUpdateAutomationSpec) {
				s.PolicySelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": "web"}}
			}),
			mend: func(w *World, fix string) {
				_, label, _ := strings.Cut(fix, "policySelector: ")
				w.kubectl(prod, "label", "imagepolicy", "backend", label)
			},
		},
		"the automation fails": {
			hop: "automation", why: "template", fix: "spec.git.commit.messageTemplate",
			spoil: all(automationSpec(func(s *automationv1.ImageUpdateAutomationSpec) { s.GitSpec.Commit.MessageTemplate = "{{" }), next),
			mend:  by(automationSpec(func(s *automationv1.ImageUpdateAutomationSpec) { s.GitSpec.Commit.MessageTemplate = "" })),
		},
		"the line has no marker": {
			hop: "marker", why: "without a marker", fix: `# {"$imagepolicy": "NS:backend"}`,
			spoil: inFile(` # {"$imagepolicy": "NS:backend"}`, ""),
			mend: func(w *World, fix string) {
				_, comment, _ := strings.Cut(fix, "with the comment: ")
				_, err := w.Alice.Change(w.t.Context(), w.Fleet.File(prod, backend), "Mark it", func(s string) string {
					return regexp.MustCompile(`(?m)^( +- name: backend\n +image: \S+).*$`).ReplaceAllString(s, "${1} "+strings.ReplaceAll(comment, "$", "$$"))
				})
				w.must(err)
			},
		},
		"the marker names a policy that does not exist": {
			hop: "marker", why: "there is no such ImagePolicy", fix: `"NS:backend"`,
			spoil: inFile(`"NS:backend"`, `"NS:bakend"`), mend: by(inFile(`"NS:bakend"`, `"NS:backend"`)),
		},
		"the marker names another environment's policy": {
			hop: "marker", why: "another environment's policy", fix: `"NS:backend"`,
			spoil: all(automationSpec(func(s *automationv1.ImageUpdateAutomationSpec) { s.Suspend = true }), func(w *World) {
				inFile(`"NS:backend"`, `"`+w.Fleet.Namespace("staging")+`:backend"`)(w)
			}),
			mend: by(func(w *World) { inFile(`"`+w.Fleet.Namespace("staging")+`:backend"`, `"NS:backend"`)(w) },
				automationSpec(func(s *automationv1.ImageUpdateAutomationSpec) { s.Suspend = false })),
		},
		"the marker is held": {
			hop: "marker", why: "holds image automation off: production-v9 could not run", fix: "take backstop:hold out of the comment",
			spoil: inFile(`# {"$imagepolicy": "NS:backend"}`, `# backstop:hold not=production-v9 {"$imagepolicy": "NS:backend"}`),
			mend:  by(inFile(`# backstop:hold not=production-v9 {"$imagepolicy": "NS:backend"}`, `# {"$imagepolicy": "NS:backend"}`)),
		},
		"the GitRepository is suspended": {
			hop: "source", why: "suspended", fix: "flux -n NSF resume source git fleet",
			spoil: sourceSpec(func(s *sourcev1.GitRepositorySpec) { s.Suspend = true }),
		},
		"the GitRepository follows a branch that is not there": {
			hop: "source", why: "cannot be fetched", fix: "correct Secret NSF/fleet, spec.url or spec.ref",
			spoil: sourceSpec(func(s *sourcev1.GitRepositorySpec) { s.Reference.Branch = "mian" }),
			mend:  by(sourceSpec(func(s *sourcev1.GitRepositorySpec) { s.Reference.Branch = "main" })),
		},
		"the GitRepository is pinned to a commit": {
			hop: "source", why: "is pinned to commit", fix: "set spec.ref to the branch alone",
			spoil: func(w *World) {
				tip := w.Tip()
				sourceSpec(func(s *sourcev1.GitRepositorySpec) { s.Reference.Commit = tip })(w)
			},
			mend: by(sourceSpec(func(s *sourcev1.GitRepositorySpec) { s.Reference.Commit = "" })),
		},
		"the GitRepository wants signed commits": {
			hop: "source", why: "refuses the commit's signature", fix: "spec.verify.secretRef",
			spoil: sourceSpec(func(s *sourcev1.GitRepositorySpec) {
				s.Verification = &sourcev1.GitRepositoryVerification{Mode: sourcev1.ModeGitHEAD, SecretRef: meta.LocalObjectReference{Name: "keys"}}
			}),
			mend: by(sourceSpec(func(s *sourcev1.GitRepositorySpec) { s.Verification = nil })),
		},
		"the automation may only read": {
			hop: "automation", why: "403", fix: "give GitRepository fleet a Secret that may push (spec.secretRef)",
			spoil: all(readers, gitLogin("reader"), next), mend: then(func(w *World) { gitLogin(w.Fleet.Username)(w) }),
			after: func(w *World) { w.Git.SetFault(nil) },
		},
		"the branch is protected": {
			hop: "automation", why: "protected branch", fix: "let its user push to the branch",
			spoil: func(w *World) {
				w.must(gitserver.Hook(w.Repo, "pre-receive", "echo protected branch; exit 1"))
				w.newer()
			},
			mend: by(func(w *World) { w.must(os.Remove(filepath.Join(w.Repo, "hooks", "pre-receive"))) }),
		},
		"the automation's Secret does not exist": {
			hop: "automation", why: "failed to get secret", fix: "create the Secret that it names, then: flux -n NS reconcile image update production",
			spoil: login("absent"), mend: then(func(w *World) {
				w.do("kubectl -n "+w.Fleet.FluxNamespace()+" create secret generic absent --from-literal=username=USER --from-literal=password=TOKEN",
					"USER", w.Fleet.Username, "TOKEN", w.Fleet.Password)
			}), after: login("fleet"),
		},
		"there is no automation": {
			hop: "automation", why: "no ImageUpdateAutomation in namespace NS writes to the repository", fix: "create one in namespace NS, whose spec.sourceRef is GitRepository/NSF/fleet",
			spoil: func(w *World) { w.must(w.Client.Delete(w.t.Context(), automation(w))) },
			mend: by(func(w *World) {
				a := automation(w)
				a.ObjectMeta = metav1.ObjectMeta{Namespace: a.Namespace, Name: a.Name}
				w.must(w.Client.Create(w.t.Context(), a))
			}),
		},
		"the automation's selector is none": {
			hop: "automation", why: "its policySelector selects nothing", fix: "correct spec.policySelector",
			spoil: automationSpec(func(s *automationv1.ImageUpdateAutomationSpec) {
				s.PolicySelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "team", Operator: "Is"}}}
			}),
			mend: by(automationSpec(func(s *automationv1.ImageUpdateAutomationSpec) { s.PolicySelector = nil })),
		},
		"the automation is overdue": {
			hop: "automation", why: "it ran 5h ago, though its interval is 60m", fix: "flux -n NS reconcile image update production", spoil: runs(time.Hour),
			keep:  says(func(o *automationv1.ImageUpdateAutomation) { o.Status.LastAutomationRunTime = new(longAgo()) }),
			after: runs(300 * time.Millisecond),
		},
		"the GitRepository does not exist": {
			hop: "source", why: "it does not exist", fix: "create it, or correct spec.sourceRef of Kustomization NSF/production", spoil: deployed("nowhere"), mend: by(deployed("fleet")),
		},
		"the GitRepository has no login": {
			hop: "source", why: "cannot be fetched", fix: "or name a Secret in spec.secretRef, then: flux -n NSF reconcile source git fleet", spoil: login(""), mend: then(login("fleet")),
		},
		"the GitRepository is pinned to a tag": {
			hop: "source", why: "is pinned to tag v1", fix: "set spec.ref to the branch alone",
			spoil: func(w *World) {
				w.git("tag", "--force", "v1", fleet.Branch)
				sourceSpec(func(s *sourcev1.GitRepositorySpec) { s.Reference = &sourcev1.GitRepositoryRef{Tag: "v1"} })(w)
			},
			mend: by(sourceSpec(func(s *sourcev1.GitRepositorySpec) { s.Reference = &sourcev1.GitRepositoryRef{Branch: "main"} })),
		},
		"the GitRepository is overdue": {
			hop: "source", why: "it fetches every 60m, and that commit was made 5h ago", fix: "flux -n NSF reconcile source git fleet",
			spoil: all(fetches(time.Hour), func(w *World) { w.wroteBack(prod, backend, w.newer()) }),
			keep:  says(func(o *automationv1.ImageUpdateAutomation) { o.Status.LastPushTime = new(longAgo()) }),
			after: fetches(300 * time.Millisecond),
		},
	}
}
