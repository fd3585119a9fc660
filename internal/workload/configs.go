package workload

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Configs names the ConfigMaps and Secrets that a pod reads, as Kind/name: their content is not in its template. What
// every pod has, and what pulls its image, does not count.
func Configs(spec *corev1.PodSpec) []string {
	var out []string
	add := func(kind, name string) {
		if name != "" && name != "kube-root-ca.crt" {
			out = append(out, kind+"/"+name)
		}
	}
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		for _, from := range c.EnvFrom {
			if from.ConfigMapRef != nil {
				add("ConfigMap", from.ConfigMapRef.Name)
			}
			if from.SecretRef != nil {
				add("Secret", from.SecretRef.Name)
			}
		}
		for _, env := range c.Env {
			switch from := env.ValueFrom; {
			case from == nil:
			case from.ConfigMapKeyRef != nil:
				add("ConfigMap", from.ConfigMapKeyRef.Name)
			case from.SecretKeyRef != nil:
				add("Secret", from.SecretKeyRef.Name)
			}
		}
	}
	for _, v := range spec.Volumes {
		if v.ConfigMap != nil {
			add("ConfigMap", v.ConfigMap.Name)
		}
		if v.Secret != nil {
			add("Secret", v.Secret.SecretName)
		}
		if v.CSI != nil && strings.Contains(v.CSI.Driver, "secrets-store") {
			add("Secret", v.Name)
		}
		if v.Projected == nil {
			continue
		}
		for _, s := range v.Projected.Sources {
			if s.ConfigMap != nil {
				add("ConfigMap", s.ConfigMap.Name)
			}
			if s.Secret != nil {
				add("Secret", s.Secret.Name)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
