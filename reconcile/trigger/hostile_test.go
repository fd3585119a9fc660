package trigger_test

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// hostile were written against a policy that may push: what has all that Auto asks for, and is not the image's fault.
// The image's own are beside them in the words of other runtimes.
var hostile = []situation{
	// The image's fault.
	{"executable not found, by gVisor", noProgram, "image", "image", true, []func(*recorded){waits("RunContainerError",
		`failed to start containerd task: OCI runtime start failed: starting container: starting root container: urpc method `+
			`"containerManager.StartRoot" failed: error finding executable "serve" in PATH [/usr/local/sbin /bin]: no such file or directory: unknown`)}},
	{"no such file, by gVisor", noProgram, "image", "image", true, []func(*recorded){started(
		`OCI runtime start failed: starting container: failed to create process: failed to load /app/run: no such file or directory: unknown`)}},
	{"executable not found, by Kata", noProgram, "image", "image", true, []func(*recorded){started(`failed to create shim task: the file /app/run was not found: unknown`)}},
	{"executable not found, by youki", noProgram, "image", "image", true, []func(*recorded){started(
		`OCI runtime create failed: youki create failed: error in executing process : executable 'serve' for container 'x' not found in $PATH: unknown`)}},
	{"executable not found, on Windows", noProgram, "image", "image", true, []func(*recorded){windows, started(
		`failed to create shim task: hcs::System::CreateProcess web: The system cannot find the file specified.: unknown`)}},
	{"the folder to work in is missing, as crun says", noProgram, "image", "image", true, []func(*recorded){waits("CreateContainerError",
		"container create failed: chdir to `/srv/app`: No such file or directory")}},
	{"what is to be started is a folder", noProgram, "image", "image", true, []func(*recorded){cannotStart(`exec: "/app": is a directory`)}},
	{"what is to be started is a link to itself", noProgram, "image", "image", true, []func(*recorded){cannotStart(`exec: "/app/run": stat /app/run: too many levels of symbolic links`)}},
	{"its user may not enter the folder of its program", noProgram, "image", "image", false, []func(*recorded){cannotStart(
		`error during container init: exec: "/root/run": stat /root/run: permission denied`)}},
	{"its program is on an image volume", noProgram, "image", "image", false, []func(*recorded){
		mounts("plugins", "/plugins", corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: "registry.example.com/plugins:v1"}}),
		cannotStart(`exec: "/plugins/run": stat /plugins/run: no such file or directory`)}},
	{"a variable has the whole image", crashes, "image", "image", false, []func(*recorded){versioned("RUNNER_IMAGE", "registry.example.com/web:v1", "registry.example.com/web:v2")}},
	{"an annotation has the digest of the image", crashes, "image", "image", false, []func(*recorded){
		imaged("registry.example.com/web:v1@sha256:"+sixtyFour("a"), "registry.example.com/web:v2@sha256:"+sixtyFour("b")),
		annotated("acme.dev/image-digest", "sha256:"+sixtyFour("a"), "sha256:"+sixtyFour("b"))}},
	{"labels of a chart go with the image", crashes, "image", "image", false, []func(*recorded){
		marked("app.kubernetes.io/version", "1.2.3", "1.2.4"), marked("helm.sh/chart", "web-1.2.3", "web-1.2.4")}},
	{"memory of its own as a volume", exit127, "image", "image", true, []func(*recorded){
		mounts("shm", "/dev/shm", corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory}})}},
	{"its pod's labels as a volume", exit127, "image", "image", true, []func(*recorded){
		mounts("podinfo", "/podinfo", corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{}})}},

	{"another workload restarted once, and runs well again", crashes, "image", "image", false, []func(*recorded){beside("worker", "registry.example.com/worker:v7"), wellAgain("cccc")}},
	{"a former pod restarted once, and runs well again", crashes, "image", "image", false, []func(*recorded){onceRestarted, wellAgain("aaaa")}},
	{"what needs it crashes since it is away", "crash-at-once-without-a-readiness-probe.yaml", "image", "image", false, []func(*recorded){
		restarted(6), beside("shop", "registry.example.com/shop:v7"), restartsOf("cccc", 2)}},

	// The configuration's.
	{"a policy of the network goes by its version, and the owner opted in", opted, "config", "image", false, []func(*recorded){marked("version", "v1", "v2")}},
	{"it writes where nobody may write, and ends with 127", exit127, "config", "image", false, []func(*recorded){
		ends(127, "Error", "cp: cannot create regular file '/opt/run': Read-only file system\nsh: /opt/run: not found")}},
	{"PATH of the template leads to a volume", noProgram, "config", "image", false, []func(*recorded){
		withPath("/var/run/tools:/bin"), mounts("tools", "/var/run/tools", emptyDir), fills("tools"), cannotStart(`exec: "tool": executable file not found in $PATH`)}},
	{"its folder to work in is on a volume of code", noProgram, "config", "image", false, []func(*recorded){
		mounts("code", "/var/www/html", emptyDir), fills("code"), cannotStart(`exec: "./start.sh": stat ./start.sh: no such file or directory`)}},
	{"a ConfigMap has the groups", noProgram, "config", "image", false, []func(*recorded){
		mounts("groups", "/etc/group", configMap), cannotStart(`unable to find group app: no matching entries in group file`)}},
	{"the host's port is taken, and the owner opted in", opted, "config", "image", false, []func(*recorded){unchanged(func(s *corev1.PodSpec) {
		s.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 8080, HostPort: 8080}}
	})}},
	{"its arguments are too long", noProgram, "config", "node", false, []func(*recorded){cannotStart(`exec: "/app/run": argument list too long`)}},

	// Something else that it needs.
	{"an entry point cannot fetch its program, and says so", exit127, "dependency", "image", false, []func(*recorded){
		ends(127, "Error", "curl: (6) Could not resolve host: artifacts\n/entrypoint.sh: line 9: run: command not found")}},
	{"what an entry point fetches from refuses it", exit127, "dependency", "image", false, []func(*recorded){
		ends(127, "Error", "wget: can't connect to remote host (10.0.0.1): Connection refused\nsh: ./run: not found")}},
	{"the database has no room for more clients, and the owner opted in", opted, "dependency", "image", false, []func(*recorded){
		ends(1, "Error", "FATAL: sorry, too many clients already")}},
	{"the database refuses its password, and the owner opted in", opted, "dependency", "image", false, []func(*recorded){
		ends(1, "Error", `FATAL: password authentication failed for user "app"`)}},
	{"a server of licences limits it, and the owner opted in", opted, "dependency", "image", false, []func(*recorded){ends(1, "Error", "license check: 429 Too Many Requests")}},
	{"a name is not resolved, as Node says, and the owner opted in", opted, "dependency", "image", false, []func(*recorded){
		ends(1, "Error", "Error: getaddrinfo EAI_AGAIN redis")}},
	{"a queue is away, as Java says, and the owner opted in", opted, "dependency", "image", false, []func(*recorded){
		ends(1, "Error", "java.net.ConnectException: Connection refused: kafka/10.0.0.7:9092")}},

	// The node's.
	{"its node's disk is full, and an entry point copies its program", "exit-126.yaml", "node", "image", false, []func(*recorded){
		ends(126, "Error", "cp: error writing '/app/bin': No space left on device\n/entrypoint.sh: /app/bin: Permission denied")}},
	{"its node's disk is full, and the owner opted in", opted, "node", "image", false, []func(*recorded){ends(1, "Error", "write /tmp/x: no space left on device")}},
	{"it sees what its node runs, and the owner opted in", opted, "node", "image", false, []func(*recorded){unchanged(func(s *corev1.PodSpec) { s.HostPID = true })}},
	{"a profile of gVisor's node cannot be loaded", noProgram, "node", "node", false, []func(*recorded){started(
		`failed to generate seccomp spec opts: failed to load /var/lib/kubelet/seccomp/strict.json: no such file or directory`)}},
	{"its node's rules forbid the program on Windows", noProgram, "node", "node", false, []func(*recorded){windows, started(
		`failed to create shim task: hcs::System::CreateProcess web: This program is blocked by group policy.: unknown`)}},

	// Nobody can tell.
	{"tables are missing, and the owner opted in", opted, "unknown", "image", false, []func(*recorded){
		ends(1, "Error", `relation "orders_v2" does not exist`)}},
	{"killed after hours, and nothing tells by whom", crashes, "unknown", "unknown", false, []func(*recorded){after(3 * time.Hour), ends(137, "Error", "")}},
	{"it ends in order, asked by nobody knows whom", opted, "unknown", "image", false, []func(*recorded){ends(143, "Error", "")}},
}

// wellAgain has the pods of a revision be ready, and their containers run for minutes after they had ended.
func wellAgain(hash string) func(*recorded) {
	return func(r *recorded) {
		pods(r, hash, func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodRunning
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
			for i := range p.Status.ContainerStatuses {
				s := &p.Status.ContainerStatuses[i]
				s.RestartCount, s.Ready = 1, true
				s.LastTerminationState.Terminated.FinishedAt = metav1.NewTime(r.Now.Add(-4 * time.Minute))
				s.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(r.Now.Add(-4 * time.Minute))}}
			}
		})
	}
}

func onceRestarted(r *recorded) {
	pods(r, "aaaa", func(p *corev1.Pod) {
		last(&p.Status.ContainerStatuses[0]).ExitCode = 1
	})
}

func restartsOf(hash string, n int32) func(*recorded) {
	return func(r *recorded) {
		pods(r, hash, func(p *corev1.Pod) { p.Status.ContainerStatuses[0].RestartCount = n })
	}
}

// started is a process that could not be begun, in a runtime's own words.
func started(words string) func(*recorded) {
	return func(r *recorded) {
		cannotStart("x")(r)
		ends(128, "StartError", "failed to create containerd task: "+words)(r)
	}
}

// marked is a label of the template that changed.
func marked(key, was, is string) func(*recorded) {
	return func(r *recorded) {
		for i := range r.objects.ReplicaSets {
			rs := &r.objects.ReplicaSets[i]
			rs.Spec.Template.Labels[key] = was
			if rs.Name == "web-bbbb" {
				rs.Spec.Template.Labels[key] = is
			}
		}
		r.objects.Remembered = remembered(r)
	}
}

func withPath(of string) func(*recorded) {
	return unchanged(func(s *corev1.PodSpec) {
		s.Containers[0].Env = append(s.Containers[0].Env, corev1.EnvVar{Name: "PATH", Value: of})
	})
}
