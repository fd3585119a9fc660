// Package kubelet runs a real node beside the control plane of testenv: containerd, a kubelet and a scheduler. It needs
// Linux, root, and the packages containerd, runc, containernetworking-plugins and iproute2.
//
//	kube-apiserver, registry, Git server        on the bridge's address, where pods reach them
//	      ▲                 ▲
//	      │                 │ pulls, over plain HTTP
//	kubelet ──► containerd ─┴─► runc ──► pods on the bridge
//
// There is no kube-proxy: a pod that asks the API server is told its address (KUBERNETES_SERVICE_HOST). Everything
// lives in one folder and is gone after Stop: processes, mounts, and the bridge.
package kubelet
