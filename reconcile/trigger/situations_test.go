package trigger_test

import (
	"bytes"
	"os"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// situation is a failure that differs from one of testdata/rollouts in what it names.
type situation struct {
	name, like string
	// right is whose fault it is, says what it is taken for, and auto whether a policy may revert it without a person.
	right, says string
	auto        bool
	but         []func(*recorded)
}

const (
	noProgram = "executable-not-found.yaml"
	crash     = "dependency-needed-at-the-start-alone.yaml"
	exit127   = "exit-127.yaml"
	badArch   = "exec-format-error.yaml"
)

// situations are siblings of what is recorded: what may look like the image's fault, and what must not be taken for
// another's.
var situations = []situation{
	// The image's fault.
	{"web and worker of one image crash together", "crash-after-20-s.yaml", "image", "image", false, []func(*recorded){beside("worker", "registry.example.com/web:v2")}},
	{"a second bad image follows before the first is gone", "two-bad-images-in-a-row.yaml", "image", "image", false, []func(*recorded){was("web-dddd", v1alpha1.AvailablePartly)}},
	{"a second image without its program follows a bad one", "two-bad-images-in-a-row.yaml", "image", "image", true,
		[]func(*recorded){was("web-dddd", v1alpha1.AvailablePartly), cannotStart(`exec: "serve": executable file not found in $PATH`)}},
	{"a StatefulSet updates its last ordinals alone", "statefulset-stuck-at-ordinal-2.yaml", "image", "image", false, []func(*recorded){partitioned(2)}},
	{"a DaemonSet that is updated as pods are deleted", "daemonset-crashes-on-every-node-it-reached.yaml", "image", "image", false, []func(*recorded){onDelete}},
	{"an autoscaler adds pods while it crashes", "crash-after-20-s.yaml", "image", "image", false, []func(*recorded){scaled(8)}},
	{"somebody paused a rollout that cannot start", noProgram, "image", "image", false, []func(*recorded){paused}},
	{"all old pods are taken away first, and the program is missing", noProgram, "image", "image", true, []func(*recorded){without("web-aaaa-0")}},
	{"a program that is named from its folder", noProgram, "image", "image", true, []func(*recorded){cannotStart(`exec: "./server": stat ./server: no such file or directory`)}},
	{"a program beside a volume", noProgram, "image", "image", true, []func(*recorded){mounts("data", "/data", pvc), cannotStart(`exec: "/app/run": no such file or directory`)}},
	{"a PATH that the template says", noProgram, "image", "image", true, []func(*recorded){unchanged(func(s *corev1.PodSpec) { s.Containers[0].Env = []corev1.EnvVar{{Name: "PATH", Value: "/app:/bin"}} })}},
	{"a token of the cloud is mounted", noProgram, "image", "image", true, []func(*recorded){inPods(mountsIn("token", "/var/run/secrets/kubernetes.io/serviceaccount"))}},
	{"a cache that the container has for itself", exit127, "image", "image", true, []func(*recorded){mounts("cache", "/cache", emptyDir)}},
	{"killed, and no probe tells why", "exit-134.yaml", "image", "image", false, []func(*recorded){ends(137, "Error", "")}},
	{"two of many pods crash on old nodes and on new ones", exit127, "image", "image", true, []func(*recorded){joined("node-2")}},
	{"an hour of flapping, of five minutes each", "flapping-for-an-hour.yaml", "image", "image", false, []func(*recorded){after(2 * time.Hour), runs(5 * time.Minute), restarted(23)}},

	// The configuration's.
	{"the command is a script of a ConfigMap that was renamed", noProgram, "config", "image", false,
		[]func(*recorded){mounts("scripts", "/scripts", configMap), cannotStart(`exec: "/scripts/start.sh": stat /scripts/start.sh: no such file or directory`)}},
	{"the command is a script of a ConfigMap that nobody may execute", "not-executable.yaml", "config", "image", false,
		[]func(*recorded){mounts("scripts", "/scripts", configMap), cannotStart(`exec: "/scripts/start.sh": permission denied`)}},
	{"a ConfigMap says PATH", noProgram, "config", "image", false, []func(*recorded){unchanged(func(s *corev1.PodSpec) {
		s.Containers[0].EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "web"}}}}
	})}},
	{"a key of a Secret says PATH", noProgram, "config", "image", false, []func(*recorded){unchanged(func(s *corev1.PodSpec) {
		s.Containers[0].Env = []corev1.EnvVar{{Name: "PATH", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{Key: "p"}}}}
	})}},
	{"a ConfigMap has the users", "a-user-that-the-image-lacks.yaml", "config", "image", false, []func(*recorded){mounts("users", "/etc/passwd", configMap)}},
	{"a webhook is new and forbids root for the pod", noProgram, "config", "image", false, []func(*recorded){waits("CreateContainerConfigError", "container has runAsNonRoot and image will run as root"), inNewPods(func(s *corev1.PodSpec) {
		s.SecurityContext = &corev1.PodSecurityContext{RunAsNonRoot: new(true)}
	})}},
	{"a webhook has a new rule for what it changed before", exit127, "config", "image", false, []func(*recorded){
		inPods(func(s *corev1.PodSpec) {
			s.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: new(false)}
		}),
		inNewPods(func(s *corev1.PodSpec) { s.Containers[0].SecurityContext.ReadOnlyRootFilesystem = new(true) })}},
	{"a webhook mounts something over the program", exit127, "config", "image", false, []func(*recorded){inNewPods(mountsIn("agent", "/app"))}},
	{"a LimitRange is new, and it takes more memory", "oomkilled-with-unchanged-limits.yaml", "config", "image", false, []func(*recorded){inNewPods(func(s *corev1.PodSpec) {
		s.Containers[0].Resources.Limits = corev1.ResourceList{}
	})}},
	{"a part of a volume cannot be prepared", "missing-configmap.yaml", "config", "config", false, []func(*recorded){waits("CreateContainerConfigError", `failed to prepare subPath for volumeMount "config" of container "web"`)}},
	{"a folder is mounted onto a file", "mount-that-fails.yaml", "config", "node", false, []func(*recorded){cannotStart(`error during container init: error mounting "/var/lib/kubelet/pods/x/volumes/c" to rootfs at "/app/config.yaml": not a directory: Are you trying to mount a directory onto a file (or vice-versa)?`)}},

	// Something else that it needs.
	{"it ran for hours before its database went away", crash, "dependency", "unknown", false, []func(*recorded){after(3 * time.Hour)}},
	{"it ran for hours before a script of it ended with 127", exit127, "dependency", "unknown", false, []func(*recorded){after(3 * time.Hour)}},
	{"a script of the template fetches its program", exit127, "dependency", "image", false, []func(*recorded){command("/bin/sh", "-c", "wget -qO /tmp/run http://artifacts/run; /tmp/run")}},
	{"an entry point gets a script as its argument", exit127, "dependency", "image", false, []func(*recorded){arguments("wget http://artifacts/run && ./run")}},
	{"an unchanged container of the same pods fails too", exit127, "dependency", "image", false, []func(*recorded){neighbour("proxy")}},
	{"worker of another image began to crash with it", "crash-after-20-s.yaml", "dependency", "dependency", false, []func(*recorded){beside("worker", "registry.example.com/worker:v7")}},
	{"an init container runs a script of the template", "init-container-without-its-program.yaml", "dependency", "image", false, []func(*recorded){initScript, initEnds(127)}},
	{"a load balancer does not pass its readiness gate", noProgram, "dependency", "nothing", false, []func(*recorded){runsWell, after(2 * time.Hour)}},
	{"it becomes ready late, and the rollout's deadline has passed", "readiness-never.yaml", "dependency", "image", false, []func(*recorded){deadline}},

	// The node's.
	{"old pods cannot be started on their new node either", noProgram, "node", "node", false, []func(*recorded){formerToo}},
	{"both nodes joined since", noProgram, "node", "image", false, []func(*recorded){joined("node-1", "node-2"), without("web-aaaa-0")}},
	{"all pods moved to other nodes hours later", noProgram, "node", "image", false, []func(*recorded){madeAgain(4 * time.Hour)}},
	{"nodes of another architecture took over, and no old pod is left", badArch, "node", "image", false, []func(*recorded){without("web-aaaa-0")}},
	{"two nodes, and the start fails on one of them alone", exit127, "node", "image", false, []func(*recorded){plainOn("web-bbbb-1")}},
	{"a graphics card cannot be given", noProgram, "node", "node", false, []func(*recorded){cannotStart(`failed to create containerd task: CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=0`)}},
	{"a volume claim is not bound", "unschedulable.yaml", "node", "nothing", false, []func(*recorded){deadline}},
	{"the cluster has no room for more pods", "quota.yaml", "node", "nothing", false, []func(*recorded){deadline}},

	// Nobody can tell.
	{"a program on a volume", noProgram, "unknown", "image", false, []func(*recorded){mounts("tools", "/tools", pvc), cannotStart(`exec: "/tools/run": no such file or directory`)}},
	{"a program of another architecture on a volume", badArch, "unknown", "image", false, []func(*recorded){mounts("tools", "/tools", pvc), cannotStart(`exec /tools/run: exec format error`)}},
	{"a program that an init container copies", noProgram, "unknown", "image", false, []func(*recorded){mounts("shared", "/shared", emptyDir), cannotStart(`exec: "/shared/app": no such file or directory`)}},
	{"a volume over all that the image has", noProgram, "unknown", "image", false, []func(*recorded){mounts("root", "/", pvc)}},
	{"a volume where programs are searched for", noProgram, "unknown", "image", false, []func(*recorded){mounts("bin", "/usr/local/bin", pvc)}},
	{"it ends with 127, and mounts a host's folder", exit127, "unknown", "image", false, []func(*recorded){mounts("host", "/host", hostPath)}},
	{"it ends with 126, and another container fills its volume", "exit-126.yaml", "unknown", "image", false, []func(*recorded){mounts("shared", "/shared", emptyDir), fills("shared")}},
	{"it says that something that it started has another architecture", "exec-format-error-in-the-log-alone.yaml", "unknown", "image", false,
		[]func(*recorded){ends(1, "Error", "starting plugins\nexec /plugins/a: exec format error\nno plugin is left")}},
	{"a webhook is new and takes images from elsewhere", badArch, "unknown", "image", false, []func(*recorded){inNewPods(func(s *corev1.PodSpec) { s.Containers[0].Image = "mirror.example.com/web:v2" })}},
	{"another runtime class is set by a webhook", exit127, "unknown", "image", false, []func(*recorded){inNewPods(func(s *corev1.PodSpec) { s.RuntimeClassName = new("sandboxed") })}},
	{"Flagger's primary crashes", "crash-after-20-s.yaml", "unknown", "unknown", false, []func(*recorded){madeByFlagger}},
}

func recordSituations(t *testing.T) []recorded {
	t.Helper()
	var out []recorded
	for _, s := range slices.Concat(situations, reports, siblings, hostile, words) {
		file := "testdata/rollouts/" + s.like
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		r := record(t, file, bytes.Split(data, []byte("\n---\n")))
		r.Case, r.Right, r.says, r.Auto = s.name, s.right, s.says, s.auto
		for _, change := range s.but {
			change(&r)
		}
		out = append(out, r)
	}
	return out
}

// What a situation is taken for is decided by what it shows alone: each says who is at fault, and nothing that is not
// the image's is ever reverted without a person.
func TestSituationsAreToldApart(t *testing.T) {
	if len(situations) < 40 || len(reports) < 40 {
		t.Errorf("%d situations, %d of reports", len(situations), len(reports))
	}
	for _, r := range recordSituations(t) {
		fault, auto, says := verdict(&r)
		if fault != r.says || auto != r.Auto || auto && r.Right != "image" {
			t.Errorf("%s: %s, without a person %v, want %s, %v: %v", r.Case, fault, auto, r.says, r.Auto, says)
		}
	}
}
