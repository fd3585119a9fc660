package trigger

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/image"
)

// Changes lists what differs between two pod templates. What only names a version, and the hash that a controller adds,
// is no difference.
func Changes(former, now *corev1.PodTemplateSpec) []v1alpha1.TemplateChange {
	var out []v1alpha1.TemplateChange
	add := func(container string, part v1alpha1.TemplatePart, name string) {
		out = append(out, v1alpha1.TemplateChange{Container: container, Part: part, Name: name})
	}
	a, b := containersOf(&former.Spec), containersOf(&now.Spec)
	for _, name := range union(a, b) {
		was, is := a[name], b[name]
		if was == nil || is == nil {
			add(name, v1alpha1.PartContainers, "")
			continue
		}
		out = append(out, containerChanges(was, is)...)
	}
	for _, name := range union(volumesOf(&former.Spec), volumesOf(&now.Spec)) {
		was, is := volumesOf(&former.Spec)[name], volumesOf(&now.Spec)[name]
		switch {
		case equality.Semantic.DeepEqual(was, is):
		case was != nil && is != nil && was.Image != nil && is.Image != nil:
			add(v1alpha1.ImageVolume(name), v1alpha1.PartImage, "")
		default:
			add("", v1alpha1.PartVolumes, name)
		}
	}
	for _, key := range union(former.Labels, now.Labels) {
		if !sameButVersion(key, former.Labels[key], now.Labels[key], a, b) {
			add("", v1alpha1.PartMetadata, key)
		}
	}
	for _, key := range union(former.Annotations, now.Annotations) {
		if !sameButVersion(key, former.Annotations[key], now.Annotations[key], a, b) {
			add("", v1alpha1.PartMetadata, key)
		}
	}
	if !equality.Semantic.DeepEqual(former.Spec.SecurityContext, now.Spec.SecurityContext) {
		add("", v1alpha1.PartSecurity, "")
	}
	if !equality.Semantic.DeepEqual(rest(&former.Spec), rest(&now.Spec)) {
		add("", v1alpha1.PartPod, "")
	}
	return out
}

// versionKeys are labels and annotations that name a version or the time of a restart, and no configuration.
var versionKeys = []string{
	"pod-template-hash", "controller-revision-hash", "rollouts-pod-template-hash", "helm.sh/chart", "chart",
	"kubectl.kubernetes.io/restartedAt", "kustomize.toolkit.fluxcd.io/checksum",
}

// versionNames are how the last part of such a key is called, in small letters and without what joins words.
var versionNames = []string{
	"version", "appversion", "imagetag", "changecause", "rollme", "commit", "commitsha", "gitcommit", "gitsha", "gitref",
	"build", "buildid", "buildnumber", "deployedat", "timestamp", "restartedat",
}

// sameButVersion reports whether a label or an annotation is the same, or names a version and nothing else.
func sameButVersion(key, was, is string, former, now map[string]*container) bool {
	if was == is || namesVersion(key) {
		return true
	}
	for name, c := range now {
		if old := former[name]; old != nil && namesTag(was, is, old.Image, c.Image) {
			return true
		}
	}
	return false
}

// ofConfiguration is what a key is called that names the version of something else than the image.
var ofConfiguration = regexp.MustCompile(
	`(?i)conf|secret|cert|value|setting|feature|flag|vault|credential|checksum|reload`)

func namesVersion(key string) bool {
	switch {
	case slices.Contains(versionKeys, key):
		return true
	case ofConfiguration.MatchString(key):
		return false
	}
	name := strings.ToLower(key[strings.LastIndex(key, "/")+1:])
	return slices.Contains(versionNames, strings.NewReplacer("-", "", "_", "", ".", "").Replace(name))
}

// followsTag reports whether a variable changed as the image's tag did: it tells a version, as such labels do.
func followsTag(was, is *corev1.EnvVar, wasImage, isImage string) bool {
	if was == nil || is == nil || was.ValueFrom != nil || is.ValueFrom != nil {
		return false
	}
	a, b := tagOf(wasImage), tagOf(isImage)
	return namesTag(was.Value, is.Value, wasImage, isImage) || a != "" && b != "" && was.Value != is.Value &&
		(retagged(was.Value, a, b) == is.Value || retagged(was.Value, bare(a), bare(b)) == is.Value)
}

// namesTag reports whether a value was the image, its digest or its tag before and is now, or a commit that is part of
// the tag.
func namesTag(was, is, wasImage, isImage string) bool {
	if was == wasImage && is == isImage || digestOf(wasImage) != "" && digestOf(isImage) != "" &&
		bareDigest(was) == digestOf(wasImage) && bareDigest(is) == digestOf(isImage) {
		return was != is
	}
	a, b := tagOf(wasImage), tagOf(isImage)
	if a == "" || b == "" || a == b || was == is {
		return false
	}
	if bare(was) == bare(a) && bare(is) == bare(b) {
		return true
	}
	parts, now := strings.Split(a, "-"), strings.Split(b, "-")
	at := slices.Index(parts, was)
	return len(was) >= shortCommit && at >= 0 && len(parts) == len(now) && now[at] == is
}

func bare(version string) string { return strings.TrimPrefix(version, "v") }

// shortCommit is how many characters of a commit Git shows.
const shortCommit = 7

// saysVersion is what stands before a version in a longer value.
var saysVersion = regexp.MustCompile(`(?i)(?:version|release|tag|sha|commit|revision|build)[=:]$`)

// retagged is a value with another tag in each place where it has the former one as a word by itself. What is as short
// as a number has to be called a version.
func retagged(value, was, is string) string {
	var out strings.Builder
	for rest := value; ; {
		at := strings.Index(rest, was)
		if at < 0 || was == "" {
			return out.String() + rest
		}
		before, after := rest[:at], rest[at+len(was):]
		called := len(was) >= 5 || saysVersion.MatchString(out.String()+before)
		if called && !inWordBefore.MatchString(before) && !inWordAfter.MatchString(after) {
			out.WriteString(before + is)
		} else {
			out.WriteString(before + was)
		}
		rest = after
	}
}

var (
	inWordBefore = regexp.MustCompile(`[A-Za-z0-9]$`)
	inWordAfter  = regexp.MustCompile(`^[A-Za-z0-9]`)
)

// digestOf is the digest of an image without its algorithm; empty where it has none.
func digestOf(of string) string {
	ref, err := image.Parse(of)
	if err != nil {
		return ""
	}
	return bareDigest(ref.Digest)
}

func bareDigest(of string) string { return strings.TrimPrefix(of, "sha256:") }

// tagOf is the tag of an image; empty where it has none.
func tagOf(of string) string {
	ref, err := image.Parse(of)
	if err != nil {
		return ""
	}
	return ref.Tag
}

// container is a container with whether it is an init container.
type container struct {
	corev1.Container
	init bool
}

func containersOf(spec *corev1.PodSpec) map[string]*container {
	out := map[string]*container{}
	for i := range spec.InitContainers {
		out[spec.InitContainers[i].Name] = &container{spec.InitContainers[i], true}
	}
	for i := range spec.Containers {
		out[spec.Containers[i].Name] = &container{spec.Containers[i], false}
	}
	return out
}

func volumesOf(spec *corev1.PodSpec) map[string]*corev1.Volume {
	out := map[string]*corev1.Volume{}
	for i := range spec.Volumes {
		out[spec.Volumes[i].Name] = &spec.Volumes[i]
	}
	return out
}

func union[T any](a, b map[string]T) []string {
	all := maps.Clone(a)
	if all == nil {
		all = map[string]T{}
	}
	maps.Copy(all, b)
	return slices.Sorted(maps.Keys(all))
}

func containerChanges(was, is *container) []v1alpha1.TemplateChange {
	var out []v1alpha1.TemplateChange
	add := func(part v1alpha1.TemplatePart, name string) {
		out = append(out, v1alpha1.TemplateChange{Container: is.Name, Part: part, Name: name})
	}
	if was.Image != is.Image {
		add(v1alpha1.PartImage, "")
	}
	a, b := envOf(&was.Container), envOf(&is.Container)
	for _, name := range union(a, b) {
		if !equality.Semantic.DeepEqual(a[name], b[name]) && !followsTag(a[name], b[name], was.Image, is.Image) {
			add(v1alpha1.PartEnv, name)
		}
	}
	if !equality.Semantic.DeepEqual(was.EnvFrom, is.EnvFrom) {
		add(v1alpha1.PartEnv, "")
	}
	same := []struct {
		part v1alpha1.TemplatePart
		a, b any
	}{
		{v1alpha1.PartCommand, []any{was.Command, was.Args, was.WorkingDir, was.init},
			[]any{is.Command, is.Args, is.WorkingDir, is.init}},
		{v1alpha1.PartMounts, []any{was.VolumeMounts, was.VolumeDevices}, []any{is.VolumeMounts, is.VolumeDevices}},
		{v1alpha1.PartResources, was.Resources, is.Resources},
		{v1alpha1.PartProbes, probesOf(&was.Container), probesOf(&is.Container)},
		{v1alpha1.PartSecurity, was.SecurityContext, is.SecurityContext},
	}
	for _, s := range same {
		if !equality.Semantic.DeepEqual(s.a, s.b) {
			add(s.part, "")
		}
	}
	return out
}

func envOf(c *corev1.Container) map[string]*corev1.EnvVar {
	out := map[string]*corev1.EnvVar{}
	for i := range c.Env {
		out[c.Env[i].Name] = &c.Env[i]
	}
	return out
}

func probesOf(c *corev1.Container) []any {
	return []any{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe, c.Lifecycle, c.Ports, c.RestartPolicy,
		c.RestartPolicyRules, c.TerminationMessagePath, c.TerminationMessagePolicy, c.ImagePullPolicy}
}

// rest is a pod spec without what is compared part by part.
func rest(spec *corev1.PodSpec) *corev1.PodSpec {
	out := *spec
	out.Containers, out.InitContainers, out.Volumes, out.SecurityContext = nil, nil, nil, nil
	// The API server keeps both names of one thing.
	out.DeprecatedServiceAccount = ""
	// What pulls, ends and places a pod has no part in how its process runs.
	out.ImagePullSecrets, out.TerminationGracePeriodSeconds, out.TopologySpreadConstraints = nil, nil, nil
	out.SchedulerName, out.PriorityClassName, out.Priority, out.PreemptionPolicy = "", "", nil, nil
	return &out
}
