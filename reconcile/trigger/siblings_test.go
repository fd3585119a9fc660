package trigger_test

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	daemon   = "daemonset-crashes-on-every-node-it-reached.yaml"
	stateful = "statefulset-stuck-at-ordinal-2.yaml"
	sidecar  = "sidecar-of-its-own-crashes.yaml"
	opted    = "an-old-pod-started-since-and-the-owner-opted-in.yaml"
)

// siblings were written from public reports before it was tried how they are judged.
var siblings = []situation{
	// The image's fault.
	{"its entry point lost its mode, as runc 1.3 words it", noProgram, "image", "image", true, []func(*recorded){cannotStart(`error during container init: exec: "/docker_entrypoint.sh": permission denied`)}},
	{"its entry point lost its mode, as Docker words it", noProgram, "image", "image", true, []func(*recorded){ends(126, "ContainerCannotRun",
		`OCI runtime create failed: container_linux.go:380: starting container process caused: exec: "/entrypoint.sh": permission denied: unknown`)}},
	{"tini finds its entry point not executable", exit127, "image", "image", true, []func(*recorded){ends(126, "Error", "[FATAL tini (2)] exec ./entrypoint.sh failed: Permission denied")}},
	{"a script with line ends of Windows", exit127, "image", "image", true, []func(*recorded){ends(127, "Error", "/usr/bin/env: 'node\\r': No such file or directory")}},
	{"an entry point whose interpreter is gone", crashes, "image", "image", false, []func(*recorded){ends(255, "Error", "exec /docker-entrypoint.sh: no such file or directory"), runs(0)}},
	{"a C library that wants newer processors", exit127, "image", "image", true, []func(*recorded){ends(127, "Error", "Fatal glibc error: CPU does not support x86-64-v3")}},
	{"node finds no main module", crashes, "image", "image", false, []func(*recorded){ends(1, "Error", "Error: Cannot find module '/app/dist/main.js'"), runs(0)}},
	{"classes of a newer Java", crashes, "image", "image", false, []func(*recorded){ends(1, "Error", "java.lang.UnsupportedClassVersionError: App has been compiled by a more recent version of the Java Runtime"), runs(time.Second)}},
	{"the framework of .NET is another", crashes, "image", "image", false, []func(*recorded){ends(150, "Error", "You must install or update .NET to run this application."), runs(0)}},
	{"an unprivileged base may not listen on port 80", crashes, "image", "image", false, []func(*recorded){ends(1, "Error", "nginx: [emerg] bind() to 0.0.0.0:80 failed (13: Permission denied)"), runs(0)}},
	{"it panics where a cache is empty", crashes, "image", "image", false, []func(*recorded){ends(2, "Error", "panic: runtime error: invalid memory address or nil pointer dereference"), runs(2 * time.Second)}},
	{"the image has no shell any more that the template's command runs", noProgram, "image", "image", true, []func(*recorded){command("sh", "-c", "exec /app/server"), cannotStart(`exec: "sh": executable file not found in $PATH`)}},
	{"the image has no entry point any more, and the template gives arguments", noProgram, "image", "image", true, []func(*recorded){arguments("--port=8080"), cannotStart(`exec: "--port=8080": executable file not found in $PATH`)}},
	{"a program that the template names by its version", noProgram, "image", "image", true, []func(*recorded){command("/opt/app-1.0/run"), cannotStart(`exec: "/opt/app-1.0/run": stat /opt/app-1.0/run: no such file or directory`)}},
	{"a user by name where root is forbidden", noProgram, "image", "image", true, []func(*recorded){unchanged(nonRoot), waits("CreateContainerConfigError",
		`container has runAsNonRoot and image has non-numeric user (nonroot), cannot verify user is non-root (pod: "web_prod(uid)", container: web)`)}},
	{"it runs for a moment as it is looked at", crashes, "image", "image", false, []func(*recorded){runningAgain}},
	{"it has just ended as it is looked at", crashes, "image", "image", false, []func(*recorded){justEnded}},
	{"a child of it is killed for memory", crashes, "image", "image", false, []func(*recorded){ends(1, "OOMKilled", "")}},
	{"two containers of one image, and one of them crashes", crashes, "image", "image", false, []func(*recorded){twin("worker", true)}},
	{"two containers of one image, and both crash", crashes, "image", "image", false, []func(*recorded){twin("worker", false)}},
	{"the mesh's proxy runs well beside it", crashes, "image", "image", false, []func(*recorded){injected("istio-proxy", true, true)}},
	{"an agent is injected as a sidecar that comes first", crashes, "image", "image", false, []func(*recorded){injectedFirst("istio-proxy")}},
	{"a sidecar that comes first, of the template", crashes, "image", "image", false, []func(*recorded){firstSidecar("registry.example.com/logs:v1")}},
	{"it was restarted by hand in the same breath", crashes, "image", "image", false, []func(*recorded){annotated("kubectl.kubernetes.io/restartedAt", "2026-11-01T00:00:00Z", "2026-11-28T12:00:00Z")}},
	{"a variable has the tag among others", crashes, "image", "image", false, []func(*recorded){versioned("OTEL_RESOURCE_ATTRIBUTES", "service.name=web,service.version=v1", "service.name=web,service.version=v2")}},
	{"an argument has the tag", crashes, "image", "config", false, []func(*recorded){argumentOf("--release=v1", "--release=v2")}},
	{"a variable has the commit of the tag", crashes, "image", "image", false, []func(*recorded){imaged("registry.example.com/web:main-a1b2c3d-1700000000", "registry.example.com/web:main-e4f5a6b-1700000900"), versioned("GIT_SHA", "a1b2c3d", "e4f5a6b")}},
	{"a digest beside the tag", noProgram, "image", "image", true, []func(*recorded){imaged("registry.example.com/web:v1@sha256:"+sixtyFour("a"), "registry.example.com/web:v2@sha256:"+sixtyFour("b"))}},
	{"the image comes from another registry", noProgram, "image", "image", true, []func(*recorded){imaged("registry.example.com/web:v1", "mirror.example.com/web:v1")}},
	{"an older image is chosen again, of a revision of long ago", crashes, "image", "image", false, []func(*recorded){olderRevision}},
	{"it spreads its pods in another way too", crashes, "image", "image", false, []func(*recorded){inNewTemplate(func(s *corev1.PodSpec) {
		s.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{MaxSkew: 1, TopologyKey: "topology.kubernetes.io/zone"}}
	})}},
	{"it is given longer to end too", crashes, "image", "image", false, []func(*recorded){inNewTemplate(func(s *corev1.PodSpec) { s.TerminationGracePeriodSeconds = new(int64(60)) })}},
	{"a secret for pulls was added too", crashes, "image", "image", false, []func(*recorded){inNewTemplate(func(s *corev1.PodSpec) { s.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "regcred"}} })}},
	{"the base is another Windows than the node's", noProgram, "image", "image", false, []func(*recorded){windows, cannotStart(
		`hcs::CreateComputeSystem a1b2: The container operating system does not match the host operating system.`)}},
	{"a library is missing on Windows", crashes, "image", "image", false, []func(*recorded){windows, ends(-1073741515, "Error", ""), runs(0)}},
	{"a StatefulSet whose last pod runs and never is ready", stateful, "image", "image", false, []func(*recorded){neverReady("web-2", 30*time.Minute)}},
	{"a DaemonSet that waits for its first pod", daemon, "image", "image", false, []func(*recorded){keepOne}},
	{"an autoscaler alone says how many", crashes, "image", "image", false, []func(*recorded){func(r *recorded) { r.objects.Deployment.Spec.Replicas = nil }}},
	{"its init container fails in one pod, and its main one in the other", crashes, "image", "image", false, []func(*recorded){initFailsIn("web-bbbb-0")}},
	{"secrets are a volume of a driver, with which an old pod started since, and the owner opted in", opted, "image", "image", true, []func(*recorded){mounts("secrets", "/mnt/secrets", csi)}},
	{"ten old revisions are kept", crashes, "image", "image", false, []func(*recorded){history}},

	// The configuration's.
	{"a reloader saw a ConfigMap in the same commit", crashes, "config", "config", false, []func(*recorded){versioned("STAKATER_WEB_CONFIGMAP", "9f1c", "77ab")}},
	{"a reloader saw a Secret, and the program is missing", noProgram, "config", "config", false, []func(*recorded){versioned("STAKATER_WEB_SECRET", "9f1c", "77ab"), mounts("scripts", "/scripts", configMap), cannotStart(`exec: "/scripts/run": permission denied`)}},
	{"the template of an injected secret is another too", crashes, "config", "config", false, []func(*recorded){annotated("vault.hashicorp.com/agent-inject-template-db", "{{ .Data.a }}", "{{ .Data.b }}")}},
	{"the injected proxy is configured otherwise too", crashes, "config", "config", false, []func(*recorded){annotated("proxy.istio.io/config", "concurrency: 2", "concurrency: 1")}},
	{"an AppArmor profile by annotation is new too", exit127, "config", "config", false, []func(*recorded){annotated("container.apparmor.security.beta.kubernetes.io/web", "runtime/default", "localhost/strict")}},
	{"injection is new too, and its container has no right to the network", crashes, "config", "config", false, []func(*recorded){annotated("linkerd.io/inject", "disabled", "enabled"), injected("linkerd-proxy", false, false)}},
	{"another user is set too", exit127, "config", "config", false, []func(*recorded){inNewTemplate(func(s *corev1.PodSpec) {
		s.Containers[0].SecurityContext = &corev1.SecurityContext{RunAsUser: new(int64(10001))}
	})}},
	{"another group owns its volumes too", crashes, "config", "config", false, []func(*recorded){inNewTemplate(func(s *corev1.PodSpec) { s.SecurityContext = &corev1.PodSecurityContext{FSGroup: new(int64(2000))} })}},
	{"names are resolved otherwise too", crashes, "config", "config", false, []func(*recorded){inNewTemplate(func(s *corev1.PodSpec) { s.DNSPolicy = corev1.DNSNone })}},
	{"less processor too, and its start is slow", "startup-probe-kill.yaml", "config", "config", false, []func(*recorded){inNewTemplate(func(s *corev1.PodSpec) {
		s.Containers[0].Resources.Limits = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("50m")}
	})}},
	{"a key of a ConfigMap is missing", noProgram, "config", "config", false, []func(*recorded){waits("CreateContainerConfigError", `couldn't find key LOG_LEVEL in ConfigMap prod/web`)}},
	{"a file of a ConfigMap is mounted that was replaced", noProgram, "config", "node", false, []func(*recorded){mounts("config", "/etc/app.yaml", configMap), cannotStart(
		`error during container init: error mounting "/var/lib/kubelet/pods/x/volume-subpaths/config/web/0" to rootfs at "/etc/app.yaml": mount /var/lib/kubelet/pods/x/volume-subpaths/config/web/0:/etc/app.yaml: no such file or directory`)}},
	{"less memory than its start takes", noProgram, "config", "node", false, []func(*recorded){cannotStart(`container init was OOM-killed (memory limit too low?)`)}},
	{"a policy denies what its entry point runs", noProgram, "config", "image", false, []func(*recorded){cannotStart(`exec: "/bin/sh": operation not permitted`), inNewPods(func(s *corev1.PodSpec) {
		s.SecurityContext = &corev1.PodSecurityContext{SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeLocalhost}}
	})}},

	// Something else that it needs.
	{"nothing was injected, as the webhook was away", exit127, "dependency", "image", false, []func(*recorded){formerInjected("vault-agent")}},
	{"nothing was injected, and the owner opted in", opted, "dependency", "image", false, []func(*recorded){formerInjected("vault-agent")}},
	{"a proxy is injected into the new pods alone, and the owner opted in", opted, "dependency", "image", false, []func(*recorded){injected("istio-proxy", false, true)}},
	{"what is injected to fetch secrets fails", crashes, "dependency", "unknown", false, []func(*recorded){injectedInitFails("vault-agent-init", "Error making API request. Code: 403")}},
	{"secrets are a volume of a driver, and a script reads them", exit127, "dependency", "image", false, []func(*recorded){mounts("secrets", "/mnt/secrets", csi)}},
	{"another workload runs the new image well", exit127, "dependency", "image", false, []func(*recorded){siblingRuns("worker")}},
	{"one of its new pods runs well", exit127, "dependency", "unknown", false, []func(*recorded){oneRuns}},
	{"its lock in the database is held, and it says so", crashes, "dependency", "image", false, []func(*recorded){ends(1, "Error", "failed to run migrations: Dirty database version 40. Fix and force version.")}},

	// The node's.
	{"the driver of the graphics card was updated", noProgram, "node", "node", false, []func(*recorded){cannotStart(
		`error during container init: error running prestart hook #0: exit status 1, stdout: , stderr: Auto-detected mode as 'legacy'` + "\n" + `nvidia-container-cli: initialization error: nvml error: driver/library version mismatch: unknown`)}},
	{"a cgroup cannot be frozen", noProgram, "node", "node", false, []func(*recorded){cannotStart(`error during container init: error setting cgroup config for procHooks process: unable to freeze: unknown`)}},
	{"no process can be made", noProgram, "node", "node", false, []func(*recorded){cannotStart(`unable to retrieve OCI runtime error (open /run/containerd/io.containerd.runtime.v2.task/k8s.io/x/log.json: no such file or directory): fork/exec /usr/bin/runc: resource temporarily unavailable: unknown`)}},
	{"the node has no more files to open", noProgram, "node", "node", false, []func(*recorded){cannotStart(`failed to start shim: start failed: io.containerd.runc.v2: create new shim socket: listen unix /run/containerd/s/x: socket: too many open files: exit status 1`)}},
	{"the disk under its program fails", noProgram, "node", "node", false, []func(*recorded){cannotStart(`exec: "/usr/bin/tini": stat /usr/bin/tini: input/output error`)}},
	{"its files are fetched late, and the node lost them", noProgram, "node", "node", false, []func(*recorded){cannotStart(`exec: "/app/server": stat /app/server: transport endpoint is not connected`)}},
	{"no memory is left to start it", noProgram, "node", "node", false, []func(*recorded){cannotStart(`fork/exec /app/server: cannot allocate memory`)}},
	{"limits of the node do not let it start", noProgram, "node", "node", false, []func(*recorded){cannotStart(`error during container init: error setting rlimits for ready process: error setting rlimit type 7: operation not permitted`)}},
	{"its pipe broke", noProgram, "node", "node", false, []func(*recorded){cannotStart(`can't copy bootstrap data to pipe: write init-p: broken pipe`)}},
	{"a container is not made in time", noProgram, "node", "node", false, []func(*recorded){waits("CreateContainerError", "context deadline exceeded")}},
	{"its name is still kept, as CRI-O words it", noProgram, "node", "node", false, []func(*recorded){waits("CreateContainerError",
		"error reserving ctr name k8s_web_web-bbbb-0_prod_x_0 for id abc: name is reserved")}},
	{"its layers cannot be unpacked", noProgram, "node", "node", false, []func(*recorded){waits("CreateContainerError",
		`failed to create containerd container: error unpacking image: failed to extract layer sha256:ab: write /var/lib/containerd/x: no space left on device: unknown`)}},
	{"what is injected cannot set the node's tables", crashes, "node", "unknown", false, []func(*recorded){injectedInitFails("linkerd-init", "iptables v1.8.2 (legacy): can't initialize iptables table `nat': Permission denied (you must be root)")}},
	{"its mount is not shared", noProgram, "node", "node", false, []func(*recorded){waits("CreateContainerError",
		`failed to generate container "a" spec: failed to generate spec: path "/var/lib/x" is mounted on "/var/lib/x" but it is not a shared mount`)}},

	// Nobody can tell.
	{"a guard of the nodes kills what it does not know", crashes, "unknown", "image", false, []func(*recorded){ends(137, "Error", "")}},
	{"it wrote more than the template allows", "evicted.yaml", "unknown", "nothing", false, []func(*recorded){gone("Evicted"), without("web-aaaa-0")}},
}

var csi = corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: "secrets-store.csi.k8s.io", ReadOnly: new(true)}}

func sixtyFour(of string) string {
	out := ""
	for range 64 {
		out += of
	}
	return out
}

func nonRoot(s *corev1.PodSpec) {
	s.SecurityContext = &corev1.PodSecurityContext{RunAsNonRoot: new(true)}
}

var runningAgain = failing(func(_ *corev1.Pod, s *corev1.ContainerStatus) {
	s.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(last(s).FinishedAt.Add(10 * time.Second))}}
	s.Started = new(true)
})

var justEnded = failing(func(_ *corev1.Pod, s *corev1.ContainerStatus) {
	s.State = corev1.ContainerState{Terminated: last(s).DeepCopy()}
})

// pods changes all pods of a revision.
func pods(r *recorded, hash string, change func(*corev1.Pod)) {
	for i := range r.objects.Pods {
		if p := &r.objects.Pods[i]; p.Labels["pod-template-hash"] == hash {
			change(p)
		}
	}
}

func running(name, image string, ready bool, since time.Time) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: name, Image: image, ImageID: image, Ready: ready, Started: &ready,
		State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(since)}}}
}

// twin is a second container of the same image.
func twin(name string, well bool) func(*recorded) {
	return func(r *recorded) {
		unchanged(func(s *corev1.PodSpec) {
			c := *s.Containers[0].DeepCopy()
			c.Name = name
			s.Containers = append(s.Containers, c)
		})(r)
		for i := range r.objects.Pods {
			p := &r.objects.Pods[i]
			s := *p.Status.ContainerStatuses[0].DeepCopy()
			if well {
				s = running("", s.Image, true, p.CreationTimestamp.Time)
			}
			s.Name = name
			p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, s)
		}
	}
}

// injected is a container that a webhook puts into the new pods, and into the old ones where formerToo.
func injected(name string, formerToo, ready bool) func(*recorded) {
	return func(r *recorded) {
		put := func(p *corev1.Pod) {
			image := "mesh.example.com/" + name + ":v5"
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: name, Image: image})
			p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, running(name, image, ready, p.CreationTimestamp.Time))
		}
		pods(r, "bbbb", put)
		if formerToo {
			pods(r, "aaaa", put)
		}
	}
}

// formerInjected is a container that the webhook put into the old pods alone.
func formerInjected(name string) func(*recorded) {
	return func(r *recorded) {
		pods(r, "aaaa", func(p *corev1.Pod) {
			image := "agent.example.com/" + name + ":v5"
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: name, Image: image})
			p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, running(name, image, true, p.CreationTimestamp.Time))
		})
	}
}

func injectedFirst(name string) func(*recorded) {
	return func(r *recorded) {
		for i := range r.objects.Pods {
			p, always := &r.objects.Pods[i], corev1.ContainerRestartPolicyAlways
			image := "mesh.example.com/" + name + ":v5"
			p.Spec.InitContainers = append(p.Spec.InitContainers, corev1.Container{Name: name, Image: image, RestartPolicy: &always})
			p.Status.InitContainerStatuses = append(p.Status.InitContainerStatuses, running(name, image, true, p.CreationTimestamp.Time))
		}
	}
}

func firstSidecar(image string) func(*recorded) {
	return func(r *recorded) {
		unchanged(func(s *corev1.PodSpec) {
			always := corev1.ContainerRestartPolicyAlways
			s.InitContainers = append(s.InitContainers, corev1.Container{Name: "logs", Image: image, RestartPolicy: &always})
		})(r)
		for i := range r.objects.Pods {
			p := &r.objects.Pods[i]
			p.Status.InitContainerStatuses = append(p.Status.InitContainerStatuses, running("logs", image, true, p.CreationTimestamp.Time))
		}
	}
}

// injectedInitFails is what a webhook puts first, and what fails in the new pods, whose other containers wait.
func injectedInitFails(name, words string) func(*recorded) {
	return func(r *recorded) {
		for i := range r.objects.Pods {
			p := &r.objects.Pods[i]
			image := "agent.example.com/" + name + ":v5"
			p.Spec.InitContainers = append(p.Spec.InitContainers, corev1.Container{Name: name, Image: image})
			s := corev1.ContainerStatus{Name: name, Image: image, ImageID: image, Ready: true,
				State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Completed"}}}
			if p.Labels["pod-template-hash"] == "bbbb" {
				s = *p.Status.ContainerStatuses[0].DeepCopy()
				s.Name, s.Image, s.ImageID = name, image, image
				last(&s).Message = words
				p.Status.Phase = corev1.PodPending
				p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "web", Image: p.Spec.Containers[0].Image,
					State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "PodInitializing"}}}}
			}
			p.Status.InitContainerStatuses = append(p.Status.InitContainerStatuses, s)
		}
	}
}

// initFailsIn has an init container of the same image fail in one pod.
func initFailsIn(pod string) func(*recorded) {
	return func(r *recorded) {
		unchanged(func(s *corev1.PodSpec) {
			s.InitContainers = append(s.InitContainers, corev1.Container{Name: "prepare", Image: s.Containers[0].Image})
		})(r)
		for i := range r.objects.Pods {
			p := &r.objects.Pods[i]
			s := running("prepare", p.Spec.Containers[0].Image, true, p.CreationTimestamp.Time)
			s.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Completed"}}
			if p.Name == pod {
				s = *p.Status.ContainerStatuses[0].DeepCopy()
				s.Name = "prepare"
				p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "web", Image: p.Spec.Containers[0].Image,
					State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "PodInitializing"}}}}
			}
			p.Status.InitContainerStatuses = append(p.Status.InitContainerStatuses, s)
		}
	}
}

// annotated is an annotation of the template that changed.
func annotated(key, was, is string) func(*recorded) {
	return func(r *recorded) {
		for i := range r.objects.ReplicaSets {
			rs, value := &r.objects.ReplicaSets[i], was
			if rs.Name == "web-bbbb" {
				value = is
				r.objects.Deployment.Spec.Template.Annotations = map[string]string{key: is}
			}
			rs.Spec.Template.Annotations = map[string]string{key: value}
		}
		for i := range r.objects.Pods {
			p, value := &r.objects.Pods[i], was
			if p.Labels["pod-template-hash"] == "bbbb" {
				value = is
			}
			p.Annotations = map[string]string{key: value}
		}
		r.objects.Remembered = remembered(r)
	}
}

func argumentOf(was, is string) func(*recorded) {
	return func(r *recorded) {
		unchanged(func(s *corev1.PodSpec) { s.Containers[0].Args = []string{was} })(r)
		inNewTemplate(func(s *corev1.PodSpec) { s.Containers[0].Args = []string{is} })(r)
	}
}

// imaged has other images in the old template and in the new one.
func imaged(was, is string) func(*recorded) {
	return func(r *recorded) {
		unchanged(func(s *corev1.PodSpec) { s.Containers[0].Image = was })(r)
		inNewTemplate(func(s *corev1.PodSpec) { s.Containers[0].Image = is })(r)
		pods(r, "aaaa", func(p *corev1.Pod) { p.Status.ContainerStatuses[0].Image = was })
		pods(r, "bbbb", func(p *corev1.Pod) { p.Status.ContainerStatuses[0].Image = is })
	}
}

// olderRevision is a ReplicaSet of long ago that is the newest once more.
func olderRevision(r *recorded) {
	for i := range r.objects.ReplicaSets {
		if rs := &r.objects.ReplicaSets[i]; rs.Name == "web-bbbb" {
			rs.CreationTimestamp.Time = rs.CreationTimestamp.Add(-60 * 24 * time.Hour)
			rs.Annotations["deployment.kubernetes.io/revision-history"] = "1"
			rs.Annotations["deployment.kubernetes.io/revision"] = "3"
			r.objects.Deployment.Annotations["deployment.kubernetes.io/revision"] = "3"
		}
	}
}

func windows(r *recorded) {
	for i := range r.objects.Nodes {
		r.objects.Nodes[i].Status.NodeInfo.OperatingSystem = "windows"
	}
}

// neverReady has a pod that runs and was never ready.
func neverReady(pod string, since time.Duration) func(*recorded) {
	return func(r *recorded) {
		for i := range r.objects.Pods {
			p := &r.objects.Pods[i]
			if p.Name != pod {
				continue
			}
			began := r.Now.Add(-since)
			p.CreationTimestamp.Time = began
			p.Status.StartTime = &metav1.Time{Time: began}
			p.Status.ContainerStatuses[0] = running("web", p.Spec.Containers[0].Image, false, began)
		}
		for i := range r.objects.Revisions {
			if c := &r.objects.Revisions[i]; c.Revision == 2 {
				c.CreationTimestamp.Time = r.Now.Add(-since)
			}
		}
	}
}

// keepOne leaves one pod of the new revision.
func keepOne(r *recorded) {
	kept := false
	for i := 0; i < len(r.objects.Pods); i++ {
		waiting := r.objects.Pods[i].Status.ContainerStatuses[0].State.Waiting != nil
		if waiting && kept {
			r.objects.Pods = append(r.objects.Pods[:i], r.objects.Pods[i+1:]...)
			i--
		}
		kept = kept || waiting
	}
}

func history(r *recorded) {
	for i := range 9 {
		var rs appsv1.ReplicaSet
		r.objects.ReplicaSets[0].DeepCopyInto(&rs)
		rs.Name = "web-old" + string(rune('a'+i))
		rs.UID += "x"
		rs.CreationTimestamp.Time = rs.CreationTimestamp.Add(-time.Duration(i+1) * 24 * time.Hour)
		rs.Annotations = map[string]string{"deployment.kubernetes.io/revision": "0"}
		rs.Spec.Template.Spec.Containers[0].Image = "registry.example.com/web:v0-" + rs.Name
		rs.Spec.Replicas, rs.Status.Replicas, rs.Status.ReadyReplicas = new(int32), 0, 0
		r.objects.ReplicaSets = append(r.objects.ReplicaSets, rs)
	}
}
