package trigger

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/backstop-dev/backstop/internal/workload"
)

// What a container starts or reads need not be its image's: a program on a volume, a script of the template, what a
// ConfigMap says.

// configUnread says what of it Backstop may not read. An old pod that started with the same since then clears it.
func (v *view) configUnread() string {
	if why := v.startsFromVolume(); why != "" {
		return why
	}
	if why := v.forbidden(); why != "" {
		return why
	}
	if _, since := v.formerReady(); since > 0 {
		return ""
	}
	if !v.worst.neverBegan(v.now) {
		if read := workload.Configs(&v.New.Template.Spec); len(read) > 0 {
			return fmt.Sprintf("it reads %s, which may have changed: Backstop may not read them",
				strings.Join(read[:min(len(read), 3)], ", "))
		}
	}
	if name := v.namesVersion(); name != "" {
		return fmt.Sprintf("its variable %s goes with the image, and what it stands for may not be there", name)
	}
	switch {
	case v.searchesPath():
		return "what it starts is searched for in PATH, which a ConfigMap or a Secret may say"
	case !v.worst.begun:
		return ""
	case scripted(v.now):
		return "it runs a script of the template, which may start something else than what the image has"
	}
	if name := v.volume(); name != "" {
		return fmt.Sprintf("it mounts volume %s, and may start something that is there", name)
	}
	return ""
}

// programs are how a runtime names what it cannot start.
var programs = []*regexp.Regexp{
	regexp.MustCompile(`exec:? "([^"]+)"`),
	regexp.MustCompile("executable file `([^`]+)`"),
	regexp.MustCompile(`chdir to cwd \("([^"]+)"\)`),
	regexp.MustCompile("exec container process (?:\\(missing dynamic library\\?\\) )?`([^`]+)`"),
	regexp.MustCompile(`\bexec ([^\s:"]+): "?exec format error`),
}

// program is what a runtime could not start; empty where it names nothing.
func (s *symptom) program() string {
	said := strings.ReplaceAll(s.message, `\"`, `"`)
	if noUser.MatchString(said) {
		return "/etc/passwd"
	}
	for _, named := range programs {
		if m := named.FindStringSubmatch(said); m != nil {
			return m[1]
		}
	}
	return ""
}

// forbidden: what a program may do, and a user may enter, is the kernel's and its policies' to say too.
func (v *view) forbidden() string {
	said := strings.ReplaceAll(v.worst.message, `\"`, `"`)
	if otherWindows.MatchString(said) {
		return "its base is another Windows than its node's, " +
			"which another node, or an upgrade of it, can be the reason of too"
	}
	folder := noFolder.MatchString(said) && strings.Contains(said, "permission denied")
	if v.worst.begun || !folder && !notPermitted.MatchString(said) {
		return ""
	}
	return "its node does not let it do what its image asks for, which a policy of the nodes can change too"
}

// namesVersion is a variable that changed as the tag of the image did; empty where none did, or where no process began.
func (v *view) namesVersion() string {
	if v.now == nil || v.was == nil || v.worst.neverBegan(v.now) {
		return ""
	}
	was := envOf(&v.was.Container)
	for _, e := range v.now.Env {
		if followsTag(was[e.Name], &e, v.was.Image, v.now.Image) {
			return e.Name
		}
	}
	return ""
}

// ordinary are folders in which no image has its programs.
var ordinary = regexp.MustCompile(`^/(?:var|tmp|run|dev|proc|sys|etc)(?:/|$)`)

// startsFromVolume says which volume may have what could not be started.
func (v *view) startsFromVolume() string {
	program := v.worst.program()
	if program == "" || v.worst.begun {
		return ""
	}
	for _, m := range mountsOf(v.worst.pod, v.worst.container) {
		at := path.Clean(m.MountPath)
		within := at == "/" || program == at || strings.HasPrefix(program, at+"/")
		// Where a name alone is searched for is the image's to say.
		if within || !path.IsAbs(program) && !ordinary.MatchString(at) {
			return fmt.Sprintf("what it starts (%s) may be on volume %s, mounted at %s", program, m.Name, at)
		}
	}
	return ""
}

func mountsOf(pod *corev1.Pod, name string) []corev1.VolumeMount {
	c := containersOf(&pod.Spec)[name]
	if c == nil {
		return nil
	}
	return withoutTokens(c.VolumeMounts)
}

// searchesPath reports whether a name alone was not found, and its PATH may come from elsewhere.
func (v *view) searchesPath() bool {
	program := v.worst.program()
	if v.now == nil || program == "" || strings.Contains(program, "/") {
		return false
	}
	if len(v.now.EnvFrom) > 0 {
		return true
	}
	return slices.ContainsFunc(v.now.Env, func(e corev1.EnvVar) bool { return e.Name == "PATH" && e.ValueFrom != nil })
}

// scripted reports whether a template says more than which program is started, and with what.
func scripted(c *container) bool {
	return c != nil && slices.ContainsFunc(slices.Concat(c.Command, c.Args), func(word string) bool {
		return word == "-c" || strings.ContainsAny(strings.TrimSpace(word), " \n;|&")
	})
}

// volume names a volume of a container that is filled by somebody else than the image.
func (v *view) volume() string {
	all := volumesOf(&v.worst.pod.Spec)
	for _, m := range mountsOf(v.worst.pod, v.worst.container) {
		of := all[m.Name]
		switch {
		case of == nil, of.DownwardAPI != nil:
		case of.EmptyDir != nil && !filled(v.worst.pod, m.Name, v.worst.container):
		default:
			return m.Name
		}
	}
	return ""
}

// filled reports whether another container of a pod mounts a volume too.
func filled(pod *corev1.Pod, volume, but string) bool {
	for name, c := range containersOf(&pod.Spec) {
		if name != but && slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == volume }) {
			return true
		}
	}
	return false
}
