package watcher

import (
	"regexp"
	"slices"

	"github.com/distribution/reference"
	corev1 "k8s.io/api/core/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// inQuotes is what the kubelet and the runtimes put in quotes: among it the reference that they pulled.
var inQuotes = regexp.MustCompile(`"([^"\\\s]+)"`)

// subject is what a waiting container waits for: its own image, or that of a volume. The kubelet writes the error of an
// image volume on each container that mounts it. told is false where nothing tells which of them it is.
func subject(pod *corev1.Pod, s *corev1.ContainerStatus) (name, image string, told bool) {
	own := specImage(pod, s)
	volumes := imageVolumes(pod, s.Name)
	if len(volumes) == 0 {
		return s.Name, own, true
	}
	said := map[string]bool{}
	for _, m := range inQuotes.FindAllStringSubmatch(s.State.Waiting.Message, -1) {
		said[full(m[1])] = true
	}
	if said[full(own)] {
		return s.Name, own, true
	}
	for _, v := range volumes {
		if said[full(v.Image.Reference)] {
			return v1alpha1.ImageVolume(v.Name), v.Image.Reference, true
		}
	}
	return s.Name, own, false
}

// imageVolumes are the image volumes that a container mounts; all of the pod where its mounts are not known.
func imageVolumes(pod *corev1.Pod, container string) []corev1.Volume {
	var out []corev1.Volume
	for i := range pod.Spec.Volumes {
		if v := &pod.Spec.Volumes[i]; v.Image != nil && v.Image.Reference != "" {
			out = append(out, *v)
		}
	}
	if len(out) == 0 {
		return nil
	}
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		if c.Name != container || len(c.VolumeMounts) == 0 {
			continue
		}
		return slices.DeleteFunc(out, func(v corev1.Volume) bool {
			return !slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == v.Name })
		})
	}
	return out
}

// full is a reference as the kubelet completes it before it pulls.
func full(image string) string {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return image
	}
	return reference.TagNameOnly(named).String()
}

// specImage is the image that the pod asks for. The status names what the runtime made of it, which differs.
func specImage(pod *corev1.Pod, s *corev1.ContainerStatus) string {
	for i := range pod.Spec.Containers {
		if c := &pod.Spec.Containers[i]; c.Name == s.Name {
			return c.Image
		}
	}
	for i := range pod.Spec.InitContainers {
		if c := &pod.Spec.InitContainers[i]; c.Name == s.Name {
			return c.Image
		}
	}
	return s.Image
}
