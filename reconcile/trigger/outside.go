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
	if key := v.selected(); key != "" {
		return fmt.Sprintf("its label %s goes with the image, and a policy of the network may go by it", key)
	}
	if name := v.namesVersion(); name != "" {
		// An old pod has another value there.
		return fmt.Sprintf("its variable %s goes with the image, and what it stands for may not be there", name)
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
	regexp.MustCompile(`(?:exec:?|executable) "([^"]+)"`),
	regexp.MustCompile("executable (?:file )?[`']([^`']+)[`']"),
	regexp.MustCompile("chdir to (?:cwd \\(\"|`)([^\"`]+)"),
	regexp.MustCompile(`failed to load (/[^:]+):`),
	regexp.MustCompile(`the file (\S+) was not found`),
	regexp.MustCompile(`hcs::System::CreateProcess:? ([^:]+):`),
	regexp.MustCompile("exec container process (?:\\(missing dynamic library\\?\\) )?`([^`]+)`"),
	regexp.MustCompile(`\bexec ([^\s:"]+): "?exec format error`),
}

// program is what a runtime could not start; empty where it names nothing.
func (s *symptom) program() string {
	said := strings.ReplaceAll(s.message, `\"`, `"`)
	if noUser.MatchString(said) {
		if strings.Contains(said, "group file") {
			return "/etc/group"
		}
		return "/etc/passwd"
	}
	for _, named := range programs {
		if m := named.FindStringSubmatch(said); m != nil {
			return m[1]
		}
	}
	return ""
}

// notEntered is what a runtime says of a program in a folder that the user may not enter.
var notEntered = regexp.MustCompile(`: stat [^:]*: permission denied`)

// forbidden: what a program may do, and a user may enter, is the kernel's and its policies' to say too.
func (v *view) forbidden() string {
	said := strings.ReplaceAll(v.worst.message, `\"`, `"`)
	if otherWindows.MatchString(said) {
		return "its base is another Windows than its node's, " +
			"which another node, or an upgrade of it, can be the reason of too"
	}
	folder := noFolder.MatchString(said) && strings.Contains(strings.ToLower(said), "permission denied") ||
		notEntered.MatchString(said)
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
		// Where a name alone is searched for is the image's to say, or the template's, and so is from where a path begins.
		elsewhere := !ordinary.MatchString(at) || strings.ContainsAny(program, `/\`) || v.searched(at)
		if within || !path.IsAbs(program) && elsewhere {
			return fmt.Sprintf("what it starts (%s) may be on volume %s, mounted at %s", program, m.Name, at)
		}
	}
	return ""
}

// searched reports whether the template's PATH names a folder or one below it.
func (v *view) searched(folder string) bool {
	if v.now == nil {
		return false
	}
	of := envOf(&v.now.Container)["PATH"]
	return of != nil && slices.ContainsFunc(strings.Split(of.Value, ":"), func(at string) bool {
		return strings.HasPrefix(path.Clean(at)+"/", folder+"/")
	})
}

// selected is a label by which meshes and policies of networks know a version, and that goes with the image; empty
// where there is none, or where no process ran that could reach for something.
func (v *view) selected() string {
	if v.Former == nil || v.worst.neverBegan(v.now) {
		return ""
	}
	for _, key := range []string{"version", "service.istio.io/canonical-revision"} {
		if v.Former.Template.Labels[key] != v.New.Template.Labels[key] {
			return key
		}
	}
	return ""
}

// elsewhere are words about what a process needs and its image does not have: the network, who may log in, the node's
// disk, the state of a database. They never blame anybody: they have a person asked.
var elsewhere = regexp.MustCompile(`(?i)(?:could not|couldn't|can ?not|can't|unable to|failed to|failed) ` +
	`(?:resolve|connect|reach)|name resolution|no such host|bad address|unknown ?host|nodename nor servname|` +
	`getaddrinfo|unreachable|no route to host|connection (?:refused|reset|timed out|closed|attempt failed)|broken pipe|` +
	`time[ds]?[- ]?out|deadline exceeded|\b(?:tls|ssl|x509)\b|certificate|` +
	`\b(?:econn[a-z]+|enotfound|etimedout|eai_again|enospc|erofs|eaddrinuse)\b|` +
	`authenticat|authoriz|authoris|access denied|permission denied for|forbidden|credential|\btoken\b|` +
	`too many (?:clients|connections|requests|open files)|rate.?limit|quota|licen[cs]e|\b(?:401|403|429|50[0234])\b|` +
	`no space left|read-only file system|input/output error|cannot allocate memory|resource temporarily unavailable|` +
	`stale file handle|transport endpoint|address already in use|migrat|dirty database|no such table|undefined table|` +
	`\b(?:relation|table|column|database) .*(?:not exist|n't exist|not found)|\block(?:ed)?\b`)

// itself are words about the program and what its image brings: no list of what else a process may need is ever whole,
// so that words of neither list have a person asked too.
var itself = regexp.MustCompile(`runtime error: |nil pointer|nil map|index out of range|called .Option::unwrap|` +
	`ModuleNotFoundError|ImportError|NameError|IndentationError|Cannot find module|ERR_MODULE_NOT_FOUND|` +
	`SyntaxError: (?:invalid syntax|Cannot use import|Unexpected (?:identifier|reserved))|ReferenceError|` +
	`PHP Parse error|` +
	`ClassNotFoundException|NoClassDefFoundError|NoSuchMethodError|NoSuchFieldError|UnsupportedClassVersionError|` +
	`Could not find or load main class|Unable to access jarfile|undefined method|uninitialized constant|` +
	`in locally installed gems|application to execute does not exist|install or update \.NET|undefined symbol|` +
	`symbol lookup error|error while loading shared libraries|GLIBC(?:XX)?_|Fatal glibc error|[Ss]egmentation fault|` +
	`flag provided but not defined|unknown (?:flag|shorthand|directive)|unknown command "[^"]+" for "|` +
	`unrecogni[sz]ed (?:option|argument|flag)|executable file not found`)

// noProgram is what a shell or a loader says of a program that is not there, or may not be started. Of another file it
// says the same, so that it counts for what ends as they do alone.
var noProgram = regexp.MustCompile(`(?i)not found|no such file or directory|permission denied|cannot execute`)

// speaks reports whether the last words of a process that ran are about something else that it needs, or may be.
func (v *view) speaks() string {
	out := ""
	for _, s := range v.group {
		said := strings.TrimSpace(s.message)
		switch {
		case said == "" || s.neverBegan(v.now):
		case elsewhere.MatchString(said):
			return "its last words are about something else that it needs"
		case !itself.MatchString(said) && !(s.begun && noProgram.MatchString(said)):
			out = "its last words do not say that the program itself is at fault"
		}
	}
	return out
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
