package integration

import (
	"net/http"
	"slices"
	"strings"
	"time"

	automationv1 "github.com/fluxcd/image-automation-controller/api/v1"
	reflectorv1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/test/fleet"
	"github.com/backstop-dev/backstop/test/registrystub"
)

// tagged asks for one tag.
func tagged(tag string) func(*World) string { return func(*World) string { return tag } }

// next publishes the backend's next image.
func next(w *World) { w.newer() }

// again pushes an image under the next tag too.
func again(tag string) func(w *World) {
	return func(w *World) {
		to := w.nextTag()
		w.must(w.Registry.Retag(backend, tag, to))
		w.selected(prod, backend, to)
	}
}

// repaired pushes the image that is selected again, for the platform of the nodes.
func repaired(w *World) { w.Publish(backend, w.selectedTag()) }

// then does what a fix ends with, once what it says first was done.
func then(first ...func(w *World)) func(w *World, fix string) {
	return func(w *World, fix string) {
		all(first...)(w)
		_, command, _ := strings.Cut(fix, "then: ")
		w.do(command)
	}
}

// longAgo is before any interval of the world's could matter.
func longAgo() metav1.Time {
	return metav1.NewTime(time.Now().Add(-5 * time.Hour).Truncate(time.Second))
}

// rule is how production's policy chooses among tags.
type rule struct {
	pattern, extract string
	choice           reflectorv1.ImagePolicyChoice
}

func (r rule) set(w *World) {
	policySpec(func(s *reflectorv1.ImagePolicySpec) {
		s.FilterTags, s.Policy = &reflectorv1.TagFilter{Pattern: r.pattern, Extract: r.extract}, r.choice
	})(w)
}

func versions(within string) reflectorv1.ImagePolicyChoice {
	return reflectorv1.ImagePolicyChoice{SemVer: &reflectorv1.SemVerPolicy{Range: within}}
}

// mishapsOfTheRegistry are those between the registry and what is selected.
func mishapsOfTheRegistry() map[string]mishap {
	const good, version = "^" + prod + `-v.*-(?P<ts>[0-9]+)$`, "^" + prod + `-v(?P<v>[0-9.]+)-[0-9]+$`
	pattern := func(p string) func(w *World) {
		return policySpec(func(s *reflectorv1.ImagePolicySpec) { s.FilterTags.Pattern = p })
	}
	numbers := rule{good, "$ts", reflectorv1.ImagePolicyChoice{Numerical: &reflectorv1.NumericalPolicy{Order: "asc"}}}
	scanned := func(name string) func(w *World) {
		return policySpec(func(s *reflectorv1.ImagePolicySpec) { s.ImageRepositoryRef.Name = name })
	}
	image := func(name string) func(w *World) {
		return func(w *World) {
			scanSpec(func(s *reflectorv1.ImageRepositorySpec) { s.Image = w.Fleet.Registry + "/" + name })(w)
		}
	}
	excludes := func(list ...string) func(w *World) {
		// Tags are kept by image, as Flux keeps them: the other environment's scan would bring back what one leaves out.
		return func(w *World) {
			for _, env := range w.Fleet.Environments {
				edit(w, &reflectorv1.ImageRepository{}, w.Fleet.Namespace(env), backend, func(r *reflectorv1.ImageRepository) {
					r.Spec.ExclusionList = list
				})
			}
		}
	}
	interval := func(d time.Duration, insecure bool) func(w *World) {
		return scanSpec(func(s *reflectorv1.ImageRepositorySpec) {
			s.Interval, s.Insecure = metav1.Duration{Duration: d}, insecure
		})
	}
	says := func(change func(*reflectorv1.ImageRepository)) func(w *World) {
		return func(w *World) {
			editStatus(w, &reflectorv1.ImageRepository{}, w.Fleet.Namespace(prod), backend, change)
		}
	}
	same := prod + "-v9.9.9-1800000000"
	return map[string]mishap{
		"the tag was deleted from the registry": {
			hop: "tag", why: "does not have backend:", fix: "push ",
			spoil: all(publish("other"), func(w *World) {
				for _, tag := range w.tags() {
					if strings.HasPrefix(tag, prod) {
						w.must(w.Registry.DeleteTag(backend, tag))
					}
				}
			}),
			mend: func(w *World, fix string) { publish(fix[strings.LastIndex(fix, ":")+1:])(w) },
		},
		"the ImageRepository is suspended": {
			hop: "scan", why: "suspended", fix: "flux -n NS resume image repository backend",
			spoil: scanSpec(func(s *reflectorv1.ImageRepositorySpec) { s.Suspend = true }),
		},
		"the ImageRepository leaves the tag out": {
			hop: "scan", why: "the exclusion -v1.9 matches", fix: "spec.exclusionList", ask: tagged(prod + "-v1.9.0-1600000000"),
			spoil: all(publish(prod+"-v1.9.0-1600000000"), scanSpec(func(s *reflectorv1.ImageRepositorySpec) { s.ExclusionList = []string{`\.sig$`, "-v1.9"} })),
			mend:  by(scanSpec(func(s *reflectorv1.ImageRepositorySpec) { s.ExclusionList = nil })),
			after: func(w *World) { w.must(w.Registry.DeleteTag(backend, prod+"-v1.9.0-1600000000")) },
		},
		"the ImageRepository's Secret does not exist": {
			hop: "scan", why: "scan fails", fix: "create secret docker-registry pull",
			spoil: scanSpec(func(s *reflectorv1.ImageRepositorySpec) { s.SecretRef = &meta.LocalObjectReference{Name: "pull"} }),
			mend:  func(w *World, fix string) { w.do(fix, "USER", "any", "TOKEN", "thing") },
			after: scanSpec(func(s *reflectorv1.ImageRepositorySpec) { s.SecretRef = nil }),
		},
		"the ImagePolicy is suspended": {
			hop: "policy", why: "suspended", fix: "flux -n NS resume image policy backend",
			spoil: policySpec(func(s *reflectorv1.ImagePolicySpec) { s.Suspend = true }),
		},
		"the pattern matches no tag": {
			hop: "policy", why: "selects nothing", fix: "push the image under a tag that matches, such as prd-v-",
			spoil: pattern(`^prd-v-(?P<ts>[0-9]+)$`), mend: by(pattern(good)),
		},
		"the tag that was pushed does not match the pattern": {
			hop: "policy", why: "does not match the pattern", fix: "push the image under a tag that matches", ask: tagged("prod-v2"),
			spoil: publish("prod-v2"), mend: by(again("prod-v2")), asked: (*World).selectedTag,
			after: func(w *World) { w.must(w.Registry.DeleteTag(backend, "prod-v2")) },
		},
		"the production policy takes staging's tags": {
			hop: "policy", why: "ImagePolicy NS2/backend is for", fix: "anchored with ^",
			spoil: all(automationSpec(func(s *automationv1.ImageUpdateAutomationSpec) { s.Suspend = true }),
				publish(fleet.Tag("staging", 9)), pattern(`-v.*-(?P<ts>[0-9]+)$`)),
			mend: by(pattern(good), automationSpec(func(s *automationv1.ImageUpdateAutomationSpec) { s.Suspend = false })),
		},
		"the image is for another platform": {
			hop: "tag", why: "linux/amd64", fix: "for linux/amd64 too, and push it again",
			spoil: func(w *World) { w.publishBad(backend, w.nextTag()) }, mend: by(repaired),
		},
		"the ImageRepository does not exist": {
			hop: "scan", why: "ImagePolicy NS/backend selects from it, and it does not exist", fix: "create it, or correct spec.imageRepositoryRef of the ImagePolicy",
			spoil: scanned("nowhere"), mend: by(scanned(backend)),
		},
		"the ImagePolicy refers to nothing": {
			hop: "policy", why: "it selects nothing", fix: "correct spec.imageRepositoryRef", spoil: scanned("nowhere"), mend: by(scanned(backend)),
		},
		"the ImageRepository scans another repository": {
			hop: "scan", why: "its scan fails", fix: "correct spec.image", spoil: image("nothing"), mend: by(image(backend)),
			after: next, // what was selected while it was another one
		},
		"an exclusion does not compile": {
			hop: "scan", why: "failed to compile regex", fix: "correct spec.exclusionList", spoil: excludes("("), mend: by(excludes()),
		},
		"the registry does not list its tags": {
			hop: "scan", why: "its scan fails", fix: "see that the registry answers, then: flux -n NS reconcile image repository backend",
			spoil: func(w *World) {
				w.Registry.Fail("/v2/backend/tags/", registrystub.Status(http.StatusInternalServerError))
			},
			mend: then(func(w *World) { w.Registry.Heal() }),
		},
		"the registry speaks plain HTTP": {
			hop: "scan", why: "server gave HTTP response to HTTPS client", fix: "set spec.insecure: true", spoil: interval(time.Hour, false),
			// A registry on loopback is taken as plain HTTP anyway: these are the words of the controller for another one.
			keep: says(func(o *reflectorv1.ImageRepository) {
				apimeta.SetStatusCondition(&o.Status.Conditions, metav1.Condition{Type: "Ready", Status: metav1.ConditionFalse,
					Reason: "ReadOperationFailed", Message: `Get "https://registry.test/v2/": http: server gave HTTP response to HTTPS client`})
			}),
			mend: by(interval(time.Hour, true)), after: interval(300*time.Millisecond, true),
		},
		"the scan is overdue": {
			hop: "scan", why: "it was scanned 5h ago, though its interval is 60m", fix: "flux -n NS reconcile image repository backend", spoil: interval(time.Hour, true),
			keep:  says(func(o *reflectorv1.ImageRepository) { o.Status.LastScanResult.ScanTime = longAgo() }),
			after: interval(300*time.Millisecond, true),
		},
		"the pattern is none": {hop: "policy", why: "is no regular expression", fix: "correct that field", spoil: pattern("("), mend: by(pattern(good))},
		"the range is none":   {hop: "policy", why: "is no range of versions", fix: "correct that field", spoil: rule{version, "$v", versions("new")}.set, mend: by(rule{version, "$v", versions(">=1.0.0")}.set), after: numbers.set},
		"what is compared is no version": {
			hop: "policy", why: "it selects nothing", fix: "tag it with a version such as 1.2.3, or extract one: spec.filterTags.extract",
			spoil: rule{good, "$ts", versions("<2.0.0")}.set, mend: by(rule{version, "$v", versions("<2.0.0")}.set), after: numbers.set,
		},
		"no version is within the range": {
			hop: "policy", why: "it selects nothing", fix: "or widen spec.policy.semver.range",
			spoil: rule{version, "$v", versions(">=5.0.0")}.set, mend: by(rule{version, "$v", versions(">=1.0.0")}.set), after: numbers.set,
		},
		"what is compared is no number": {
			hop: "policy", why: "it selects nothing", fix: "end the tag in a number, or extract one: spec.filterTags.extract",
			spoil: rule{version, "$v", numbers.choice}.set, mend: by(numbers.set),
		},
		"another tag comes after it": {
			hop: "policy", why: "which comes after", fix: "push the image under a tag that comes after", ask: tagged(prod + "-v0.0.1-1500000000"),
			spoil: publish(prod + "-v0.0.1-1500000000"), mend: by(again(prod + "-v0.0.1-1500000000")), asked: (*World).selectedTag,
			after: func(w *World) { w.must(w.Registry.DeleteTag(backend, prod+"-v0.0.1-1500000000")) },
		},
		"the tag that comes after it is left out": {
			hop: "policy", why: "which comes after", fix: "or have the ImageRepository leave that one out: spec.exclusionList",
			spoil: next, ask: tagged(fleet.Tag(prod, 0)), mend: func(w *World, fix string) {
				list := slices.DeleteFunc(w.tags(), func(tag string) bool { return tag == fleet.Tag(prod, 0) || !strings.HasPrefix(tag, prod) })
				excludes(list...)(w)
				w.selected(prod, backend, fleet.Tag(prod, 0))
			},
			after: func(w *World) {
				excludes()(w)
				w.Until("the newest is selected again", func() error { return w.newest(w.selectedTag()) })
			},
		},
		"another tag is the same to the rule": {
			hop: "policy", why: "which is the same to its rule", fix: "push the image under a tag that comes after it", ask: tagged(prod + "-v8.8.8-1800000000"),
			spoil: all(publish(prod+"-v8.8.8-1800000000"), publish(same)), asked: (*World).selectedTag,
			mend: by(func(w *World) {
				to := prod + "-v9.9.9-1800000001"
				w.must(w.Registry.Retag(backend, same, to))
				w.selected(prod, backend, to)
			}),
			after: func(w *World) {
				for _, tag := range []string{prod + "-v8.8.8-1800000000", same, prod + "-v9.9.9-1800000001"} {
					w.must(w.Registry.DeleteTag(backend, tag))
				}
				w.newer()
			},
		},
	}
}
