package trigger_test

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

const (
	crashes   = "crash-after-20-s.yaml"
	neverOpen = "readiness-never.yaml"
	sinceThen = "an-old-pod-started-since-and-the-owner-opted-in.yaml"
)

// reports are what people reported of rollouts that failed, and siblings of these.
var reports = []situation{
	// The image's fault.
	{"its user may not enter the folder that the image works in", noProgram, "image", "image", false,
		[]func(*recorded){cannotStart(`error during container init: chdir to cwd ("/home/nonroot") set in config.json failed: permission denied`)}},
	{"the image works in a relative folder", noProgram, "image", "image", true, []func(*recorded){cannotStart(`Cwd must be an absolute path`)}},
	{"the image's user is not in it, as containerd says", noProgram, "image", "image", true, []func(*recorded){waits("CreateContainerError",
		"failed to create containerd container: mount callback failed on /var/lib/containerd/tmpmounts/containerd-mount956276389: no users found")}},
	{"the image's group is not in it", noProgram, "image", "image", true, []func(*recorded){cannotStart(`unable to find group app: no matching entries in group file`)}},
	{"the program wants capabilities that the template drops", noProgram, "image", "image", false,
		[]func(*recorded){cannotStart(`exec: "/usr/local/bin/doormouse": operation not permitted`)}},
	{"it says in the log that it wants capabilities", crashes, "image", "image", false,
		[]func(*recorded){ends(255, "Error", "exec /usr/local/bin/doormouse: operation not permitted"), runs(0)}},
	{"not executable, as crun says", noProgram, "image", "image", true, []func(*recorded){waits("CreateContainerError",
		"container create failed: open executable: Permission denied")}},
	{"linked with a library that is gone, as crun says", badArch, "image", "image", true,
		[]func(*recorded){ends(1, "Error", "exec container process (missing dynamic library?) `/app/run`: No such file or directory")}},
	{"another architecture, as crun says", badArch, "image", "image", true,
		[]func(*recorded){ends(1, "Error", "exec container process `/app/run`: Exec format error")}},
	{"linked with a newer library than the image has", crashes, "image", "image", false,
		[]func(*recorded){ends(1, "Error", "/app/run: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.34' not found (required by /app/run)")}},
	{"the shell is gone that a post-start hook needs", crashes, "image", "image", false, []func(*recorded){waits("PostStartHookError",
		`rpc error: code = Unknown desc = failed to exec in container: failed to start exec "3a54": OCI runtime exec failed: exec failed: `+
			`unable to start container process: exec: "sh": executable file not found in $PATH`)}},
	{"the program is gone that its probe runs", neverOpen, "image", "image", false, []func(*recorded){probed(corev1.ProbeHandler{
		Exec: &corev1.ExecAction{Command: []string{"curl", "-f", "http://localhost:8080/ready"}}})}},
	{"it serves no health over gRPC any more", neverOpen, "image", "image", false,
		[]func(*recorded){probed(corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: 8080}})}},
	{"it listens on another port than the template names", neverOpen, "image", "image", false,
		[]func(*recorded){probed(corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromString("http")}})}},
	{"it ends in order when its liveness probe fails", crashes, "image", "image", false, []func(*recorded){ends(0, "Completed", "")}},
	{"a variable names the tag too", crashes, "image", "image", false, []func(*recorded){versioned("APP_VERSION", "v1", "v2")}},
	{"a variable names the tag too, and the program is missing", noProgram, "image", "image", true,
		[]func(*recorded){versioned("SENTRY_RELEASE", "1", "2")}},
	{"labels and annotations of the build change too", crashes, "image", "image", false, []func(*recorded){labelled("git-commit", "rollme", "acme.dev/build-number")}},
	{"a pod of the former revision had no room", noProgram, "image", "image", false, []func(*recorded){was("web-aaaa", v1alpha1.AvailablePartly)}},
	{"old pods are stopped first, and it crashes", crashes, "image", "image", false, []func(*recorded){without("web-aaaa-0"), recreated}},
	{"no pod may be missing, and each has to be ready for a while", crashes, "image", "image", false, []func(*recorded){careful}},
	{"a hook delays the end of its pods", "crash-at-once-without-a-readiness-probe.yaml", "image", "image", false, []func(*recorded){stopHook}},
	{"a sidecar of the template has no program any more", "sidecar-of-its-own-crashes.yaml", "image", "image", true, []func(*recorded){initEnds(127)}},

	// The configuration's.
	{"admission refuses its pods", "quota.yaml", "config", "nothing", false, []func(*recorded){without("web-bbbb-0"), without("web-bbbb-1"), deadline}},
	{"an autoscaler gives its new pods less memory", "oomkilled-with-unchanged-limits.yaml", "config", "image", false,
		[]func(*recorded){inNewPods(limited("47Mi"))}},
	{"a variable is another than the tag", crashes, "config", "config", false, []func(*recorded){versioned("MODE", "blue", "green")}},
	{"a variable has the former tag already", crashes, "config", "config", false, []func(*recorded){versioned("APP_VERSION", "v0", "v2")}},
	{"a variable of the tag names what a script starts", exit127, "config", "image", false, []func(*recorded){versioned("APP_VERSION", "v1", "v2")}},
	{"a token of another audience is projected", crashes, "config", "config", false, []func(*recorded){inNewTemplate(func(s *corev1.PodSpec) {
		s.Volumes = append(s.Volumes, corev1.Volume{Name: "token", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{}}})
	})}},
	{"its folder to work in is on a volume that belongs to root", noProgram, "config", "image", false, []func(*recorded){mounts("data", "/data", pvc),
		cannotStart(`error during container init: chdir to cwd ("/data/run") set in config.json failed: no such file or directory`)}},

	// Something else that it needs.
	{"an entry point fetches its program for a while", exit127, "dependency", "image", false, []func(*recorded){runs(30 * time.Second)}},
	{"a webhook's agent has not written what the entry point reads", exit127, "dependency", "image", false, []func(*recorded){
		inPods(func(s *corev1.PodSpec) {
			s.Volumes = append(s.Volumes, corev1.Volume{Name: "vault", VolumeSource: emptyDir})
			mountsIn("vault", "/vault/secrets")(s)
			s.InitContainers = append(s.InitContainers, corev1.Container{Name: "vault-agent-init",
				VolumeMounts: []corev1.VolumeMount{{Name: "vault", MountPath: "/vault/secrets"}}})
		})}},
	{"the mesh's proxy is not ready", exit127, "dependency", "image", false, []func(*recorded){proxyNotReady}},
	{"a hook mounts a share that is away", crashes, "dependency", "unknown", false, []func(*recorded){waits("PostStartHookError",
		`command '/bin/sh -c mount -t cifs //files/x /x' exited with 137: `)}},
	{"the former pods hold a lock on its volume", sinceThen, "dependency", "image", false, []func(*recorded){mounts("data", "/data", pvc)}},
	{"a certificate expired, and old pods loaded it before", crashes, "dependency", "image", false,
		[]func(*recorded){ends(1, "Error", "x509: certificate has expired or is not yet valid")}},
	{"the former leader keeps the lease", crashes, "dependency", "image", false,
		[]func(*recorded){ends(1, "Error", "leader election lost"), runs(15 * time.Second)}},
	{"an autoscaler adds pods an hour later, and what they fetch is gone", exit127, "dependency", "image", false, []func(*recorded){madeAgain(time.Hour)}},
	{"names are not resolved, and old pods lose their readiness", "dependency-down-old-pods-lose-their-readiness.yaml", "dependency", "dependency", false,
		[]func(*recorded){ends(1, "Error", "lookup db on 10.96.0.10:53: no such host")}},

	// The node's.
	{"its node was restarted", crashes, "node", "node", false, []func(*recorded){ends(255, "Unknown", "")}},
	{"the former pods have the port of the node", sinceThen, "node", "image", false, []func(*recorded){unchanged(func(s *corev1.PodSpec) { s.HostNetwork = true })}},
	{"it wrote more than its node's disk has", "evicted.yaml", "node", "nothing", false, []func(*recorded){gone("Evicted")}},
	{"its node does not admit it", "evicted.yaml", "node", "nothing", false, []func(*recorded){gone("UnexpectedAdmissionError")}},
	{"a volume cannot be attached, and the deadline has passed", "failedmount.yaml", "node", "nothing", false, []func(*recorded){deadline}},
	{"zones and taints leave it no node", "unschedulable.yaml", "node", "nothing", false, []func(*recorded){deadline, careful}},
	{"a policy of the nodes is new and forbids its folder", noProgram, "node", "image", false,
		[]func(*recorded){cannotStart(`error during container init: chdir to cwd ("/srv") set in config.json failed: permission denied`), joined("node-2")}},

	// Nobody can tell.
	{"no former revision is kept", crashes, "unknown", "unknown", false, []func(*recorded){forgetful}},
	{"a container beside it fails, whose image did not change", "an-unchanged-neighbour-crashes.yaml", "unknown", "unknown", false, []func(*recorded){careful}},
	{"its tag was moved, and pods are pulled anew", "moved-tag.yaml", "unknown", "unknown", false, []func(*recorded){unchanged(func(s *corev1.PodSpec) {
		s.Containers[0].ImagePullPolicy = corev1.PullAlways
	})}},
	{"it is paused, and its pods run for hours before they fail", crashes, "unknown", "unknown", false, []func(*recorded){paused, after(3 * time.Hour)}},
}

func inNewTemplate(change func(*corev1.PodSpec)) func(*recorded) {
	return func(r *recorded) { templates(r, false, true, change) }
}

// versioned is a variable with another value in the new template.
func versioned(name, was, is string) func(*recorded) {
	return func(r *recorded) {
		unchanged(func(s *corev1.PodSpec) {
			s.Containers[0].Env = append(s.Containers[0].Env, corev1.EnvVar{Name: name, Value: was})
		})(r)
		inNewTemplate(func(s *corev1.PodSpec) { s.Containers[0].Env[len(s.Containers[0].Env)-1].Value = is })(r)
	}
}

// labelled marks the new template.
func labelled(keys ...string) func(*recorded) {
	return func(r *recorded) {
		for i := range r.objects.ReplicaSets {
			if rs := &r.objects.ReplicaSets[i]; rs.Name == "web-bbbb" {
				rs.Spec.Template.Annotations = map[string]string{"kubernetes.io/change-cause": "v2"}
				for _, key := range keys {
					rs.Spec.Template.Labels[key] = "new"
				}
			}
		}
	}
}

func probed(by corev1.ProbeHandler) func(*recorded) {
	return unchanged(func(s *corev1.PodSpec) { s.Containers[0].ReadinessProbe = &corev1.Probe{ProbeHandler: by} })
}

func limited(memory string) func(*corev1.PodSpec) {
	return func(s *corev1.PodSpec) {
		s.Containers[0].Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(memory)}
	}
}

var stopHook = unchanged(func(s *corev1.PodSpec) {
	s.Containers[0].Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: 5}}}
})

func recreated(r *recorded) { r.objects.Deployment.Spec.Strategy.Type = "Recreate" }

// careful lets no pod be missing, and none count that was not ready for a minute.
func careful(r *recorded) {
	none := intstr.FromInt32(0)
	r.objects.Deployment.Spec.MinReadySeconds = 60
	r.objects.Deployment.Spec.Strategy.RollingUpdate = &appsv1.RollingUpdateDeployment{MaxUnavailable: &none}
}

// forgetful keeps no ReplicaSet without pods.
func forgetful(r *recorded) {
	r.objects.Deployment.Spec.RevisionHistoryLimit = new(int32)
	for i := range r.objects.ReplicaSets {
		if rs := r.objects.ReplicaSets[i]; rs.Name == "web-bbbb" {
			r.objects.ReplicaSets = append(r.objects.ReplicaSets[:0:0], rs)
			break
		}
	}
	without("web-aaaa-0")(r)
	without("web-aaaa-1")(r)
}

// gone are new pods that ended for a reason of their own.
func gone(reason string) func(*recorded) {
	return func(r *recorded) {
		for i := range r.objects.Pods {
			if p := &r.objects.Pods[i]; p.Labels["pod-template-hash"] == "bbbb" {
				p.Status.Phase, p.Status.Reason = corev1.PodFailed, reason
			}
		}
	}
}

// proxyNotReady is a container that a webhook put into all pods, and that is ready in the old ones alone.
func proxyNotReady(r *recorded) {
	for i := range r.objects.Pods {
		p := &r.objects.Pods[i]
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "istio-proxy", Image: "istio/proxyv2:1.26.1"})
		p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{Name: "istio-proxy",
			Ready: p.Labels["pod-template-hash"] == "aaaa",
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(r.Now.Add(-2 * time.Minute))}}})
	}
}
