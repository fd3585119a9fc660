package trigger

import (
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// symptom is what one container of one pod shows.
type symptom struct {
	pod       *corev1.Pod
	container string
	init      bool
	cause     v1alpha1.Cause
	// decisive means that the process never began, so that nothing it could wait for has a part in it.
	decisive bool
	// begun means that a process ran: what it read may have a part in how it ended.
	begun    bool
	reason   string
	message  string
	exit     *int32
	restarts int32
	// run is how long the last run lasted; negative where none ended.
	run time.Duration
	// imageID is the content that runs.
	imageID string
}

// The reasons of containers, from the kubelet, containerd and cri-dockerd.
const (
	reasonCrashLoop   = "CrashLoopBackOff"
	reasonConfig      = "CreateContainerConfigError"
	reasonCreate      = "CreateContainerError"
	reasonRun         = "RunContainerError"
	reasonStart       = "StartError"
	reasonCannotRun   = "ContainerCannotRun"
	reasonOOM         = "OOMKilled"
	reasonUnknown     = "ContainerStatusUnknown"
	reasonForgotten   = "Unknown"
	reasonRestartAll  = "RestartingAllContainers"
	exitNotExecutable = 126
	exitNotFound      = 127
	exitStartError    = 128
	exitKilled        = 137
	exitSegmentation  = 139
	exitTerminated    = 143
)

var (
	// asRoot is how the kubelet refuses an image whose user is root, or that it cannot tell.
	asRoot = regexp.MustCompile(`runAsNonRoot and image (?:will run as root|has non-numeric user)`)
	// noStart is what runtimes say where the image lacks what is to be started, or may not start it. What they say of
	// their own helpers names no process of the container.
	noStart = regexp.MustCompile(`(?i)container process(?: caused)?:? "?(?:error during container init: )?` +
		`exec:? "?[^":]*"?: (?:stat [^:]*: )?` +
		`(?:executable file not found|no such file or directory|permission denied|not a directory|is a directory|` +
		`too many levels of symbolic links)|` +
		"(?:^|: )executable (?:file )?[`'][^`']*['`] (?:for container '[^']*' )?not found|" +
		`(?:^|: )open executable: (?:Permission denied|No such file or directory|Not a directory)|` +
		// gVisor, Kata and Windows.
		`(?:^|: )error finding executable "[^"]*" in PATH|` +
		`(?:starting container|create process|creating process)[^\n]*: failed to load /[^:]*: ` +
		`(?:no such file or directory|permission denied|not a directory)|` +
		`(?:^|: )the file \S+ was not found|` +
		`hcs::System::CreateProcess[^\n]*: The system cannot find the (?:file|path) specified`)
	// noUser is what they say where the image's own user or group is not in it: a template names both by number.
	noUser = regexp.MustCompile(`(?i)unable to find (?:user|group) [^:]*: no matching entries in (?:passwd|group) file|` +
		`mount callback failed on \S+: no (?:users|groups) found`)
	// noFolder is what they say where the image's own folder to work in cannot be entered, or is none.
	noFolder = regexp.MustCompile(`chdir to cwd \("([^"]*)"\) set in config\.json failed: ` +
		`(?:permission denied|no such file or directory|not a directory)|[Cc]wd must be an absolute path|` +
		"(?:^|: )chdir to `[^`]*`: (?:Permission denied|No such file or directory|Not a directory)")
	// notPermitted is what they say where the kernel refuses to begin a program that wants more than it may have.
	notPermitted = regexp.MustCompile(`(?i)container process(?: caused)?:? "?(?:error during container init: )?` +
		`exec:? "?[^":]*"?: operation not permitted`)
	// byHelper is what they say where a program of the node cannot be started.
	byHelper = regexp.MustCompile(`(?i)fork/exec|error running (?:\S+ )?hook|failed to start shim|` +
		`retrieve OCI runtime error`)
	wrongArch = regexp.MustCompile(`(?i)exec format error`)
	// otherWindows is what Windows says of a base that is another Windows than its node.
	otherWindows = regexp.MustCompile(`container operating system does not match the host operating system`)
	// neverRan is what a runtime leaves in the log of a process that it could not begin. What a process says that runs is
	// about something that it started itself.
	neverRan = regexp.MustCompile(`(?im)^(?:\S*standard_init_linux\.go:\d+: )?(?:exec (?:user process caused|[^\s:]+)|` +
		"exec container process `[^`]*`" + `): "?exec format error`)
	// noLibrary is what crun leaves there where the program, or what it is linked with, is not in the image.
	noLibrary = regexp.MustCompile("(?i)^exec container process \\(missing dynamic library\\?\\) `[^`]*`: No such file")
)

// symptomOf reads one container's status; nil where it shows no failure of a rollout.
func symptomOf(pod *corev1.Pod, s *corev1.ContainerStatus, init bool) *symptom {
	out := &symptom{pod: pod, container: s.Name, init: init, restarts: s.RestartCount, run: -1, imageID: s.ImageID}
	ended := s.State.Terminated
	if ended == nil {
		ended = s.LastTerminationState.Terminated
	}
	if ended != nil {
		out.reason, out.message = ended.Reason, ended.Message
		code := ended.ExitCode
		out.exit = &code
		if !ended.StartedAt.IsZero() {
			out.run = ended.FinishedAt.Sub(ended.StartedAt.Time)
		}
	}
	if w := s.State.Waiting; w != nil && w.Reason != reasonCrashLoop {
		if out.waits(w) {
			return out
		}
		if ended == nil || pulls(w.Reason) {
			return nil
		}
	}
	if ended == nil || s.State.Terminated == nil && s.RestartCount == 0 {
		return nil
	}
	if init && ended.ExitCode == 0 && !sidecar(pod, s.Name) {
		return nil
	}
	if byRule(pod, s.Name, ended.ExitCode) {
		return nil
	}
	out.ended(ended)
	return out
}

// pulls reports whether a container waits for its image: that is another trigger's.
func pulls(reason string) bool {
	return slices.Contains([]string{"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName",
		"ImageInspectError", "RegistryUnavailable", "SignatureValidationFailed"}, reason)
}

// waits reads a container that cannot be made or started; false where waiting is no failure.
func (s *symptom) waits(w *corev1.ContainerStateWaiting) bool {
	switch w.Reason {
	case reasonConfig:
		s.cause = v1alpha1.CauseConfigMissing
		if asRoot.MatchString(w.Message) {
			s.cause, s.decisive = v1alpha1.CauseRunsAsRoot, true
		}
	case reasonCreate:
		s.started(w.Message)
	case reasonRun:
		s.started(w.Message)
	case "PreStartHookError", "PostStartHookError", "PreCreateHookError":
		s.cause = v1alpha1.CauseHookFailed
		if noStart.MatchString(strings.ReplaceAll(w.Message, `\"`, `"`)) {
			// The process began: its image lacks what the hook is to run in it.
			s.cause = v1alpha1.CauseCannotStart
		}
	default:
		return false
	}
	s.reason, s.message = w.Reason, w.Message
	return true
}

// started reads why a process could not be started.
func (s *symptom) started(message string) {
	// CRI-O quotes what the runtime says.
	message = strings.ReplaceAll(message, `\"`, `"`)
	switch {
	case byHelper.MatchString(message):
		s.cause = v1alpha1.CauseNodeCannotRun
	case wrongArch.MatchString(message):
		s.cause, s.decisive = v1alpha1.CauseWrongArchitecture, true
	case noStart.MatchString(message), noUser.MatchString(message), noFolder.MatchString(message),
		notPermitted.MatchString(message), otherWindows.MatchString(message),
		strings.Contains(message, "no command specified"):
		s.cause, s.decisive = v1alpha1.CauseCannotStart, true
	default:
		s.cause = v1alpha1.CauseNodeCannotRun
	}
}

// ended reads how a run ended.
func (s *symptom) ended(t *corev1.ContainerStateTerminated) {
	switch {
	case t.Reason == reasonRestartAll:
		s.cause = v1alpha1.CauseUnknown
	case t.Reason == reasonOOM:
		s.cause = v1alpha1.CauseOutOfMemory
	case t.Reason == reasonUnknown, t.Reason == reasonForgotten, t.Reason == "DeadlineExceeded", t.Reason == "Evicted":
		s.cause = v1alpha1.CauseNodeLost
	case t.Reason == reasonStart, t.Reason == reasonCannotRun, t.ExitCode == exitStartError && t.Message != "":
		s.started(t.Message)
	case neverRan.MatchString(t.Message) && alone(t.Message):
		s.cause, s.decisive = v1alpha1.CauseWrongArchitecture, true
	case noLibrary.MatchString(t.Message) && alone(t.Message):
		s.cause, s.decisive = v1alpha1.CauseCannotStart, true
	case t.ExitCode == exitNotExecutable, t.ExitCode == exitNotFound:
		s.cause, s.decisive, s.begun = v1alpha1.CauseCannotStart, true, true
	case t.ExitCode == exitSegmentation:
		s.cause, s.decisive, s.begun = v1alpha1.CauseCrashed, true, true
	case t.ExitCode == exitKilled, t.ExitCode == exitTerminated:
		s.cause = v1alpha1.CauseKilled
	default:
		s.cause = v1alpha1.CauseCrashed
	}
}

// alone reports whether a message is all that stands in a log: a runtime that cannot begin a process says nothing else.
func alone(message string) bool { return !strings.Contains(strings.TrimSpace(message), "\n") }

// sidecar reports whether an init container is one that goes on running.
func sidecar(pod *corev1.Pod, name string) bool {
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		if c.Name == name {
			return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
		}
	}
	return false
}

// byRule reports whether a container ended as one of its own rules says that it may.
func byRule(pod *corev1.Pod, name string, code int32) bool {
	c := containersOf(&pod.Spec)[name]
	if c == nil {
		return false
	}
	for _, r := range c.RestartPolicyRules {
		if r.ExitCodes == nil {
			continue
		}
		in := slices.Contains(r.ExitCodes.Values, code)
		if in == (r.ExitCodes.Operator == corev1.ContainerRestartRuleOnExitCodesOpIn) {
			return true
		}
	}
	return false
}

// neverBegan reports that no process ran, and that nothing but the image and the template has a part in it.
func (s *symptom) neverBegan(c *container) bool {
	return s.decisive && !s.begun && !expands(c)
}

// expands reports whether a container's command is made of variables, which may come from a ConfigMap or a Secret.
func expands(c *container) bool {
	return c != nil && slices.ContainsFunc(slices.Concat(c.Command, c.Args), func(word string) bool {
		return strings.Contains(word, "$(")
	})
}

// hasLiveness reports whether the kubelet may kill the container because of a probe.
func hasLiveness(pod *corev1.Pod, name string) bool {
	c := containersOf(&pod.Spec)[name]
	return c != nil && (c.LivenessProbe != nil || c.StartupProbe != nil)
}
