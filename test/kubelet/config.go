//go:build linux

package kubelet

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/backstop-dev/backstop/test/testenv"
)

// containerdConfig is for containerd 1.6 and 1.7. A machine that may not lower the OOM score of a process needs
// restrict_oom_score_adj.
const containerdConfig = `version = 2
root = "@dir/containerd"
state = "@dir/run"
[grpc]
address = "@dir/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "@pause"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "@dir/cni"
[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "@dir/registries"
`

// hosts means that the registry speaks plain HTTP.
const hosts = `server = "http://@registry"
[host."http://@registry"]
capabilities = ["pull", "resolve"]
`

const cni = `{"cniVersion": "0.4.0", "name": "pods", "plugins": [{
  "type": "bridge", "bridge": "@bridge", "isGateway": true, "ipMasq": false,
  "ipam": {"type": "host-local", "dataDir": "@dir/ipam", "ranges": [[{"subnet": "@subnet"}]],
    "routes": [{"dst": "0.0.0.0/0"}]}
}]}
`

// kubeletPort is where the API server asks the kubelet for logs.
const kubeletPort = "10357"

// kubeletConfig evicts nobody: the machine is shared, and its disk may be nearly full.
const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: false}
  x509: {clientCAFile: "@authority"}
authorization: {mode: AlwaysAllow}
containerRuntimeEndpoint: unix://@dir/containerd.sock
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
localStorageCapacityIsolation: false
healthzPort: 0
port: @port
readOnlyPort: 0
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {memory.available: "0%", nodefs.available: "0%", nodefs.inodesFree: "0%", imagefs.available: "0%"}
nodeStatusUpdateFrequency: 2s
syncFrequency: 10s
resolvConf: ""
volumePluginDir: @dir/plugins
podLogsDir: @dir/logs
`

// configure writes what the processes are started with.
func (n *Node) configure() error {
	config, err := n.Env.ConfigForUser("system:node:"+Name, "system:nodes")
	if err != nil {
		return err
	}
	if err := testenv.WriteKubeconfig(config, n.path("kubelet.kubeconfig")); err != nil {
		return err
	}
	words := strings.NewReplacer("@dir", n.Dir, "@pause", n.Pause, "@registry", n.Registry, "@bridge", bridge,
		"@subnet", subnet, "@port", kubeletPort, "@authority", filepath.Join(n.Env.Dir, "ca.crt"))
	for name, text := range map[string]string{
		"containerd.toml": containerdConfig,
		filepath.Join("registries", n.Registry, "hosts.toml"): hosts,
		filepath.Join("cni", "10-pods.conflist"):              cni,
		"kubelet.yaml":                                        kubeletConfig,
	} {
		if err := os.MkdirAll(filepath.Dir(n.path(name)), 0o700); err != nil {
			return fmt.Errorf("make the folder of %s: %w", name, err)
		}
		if err := os.WriteFile(n.path(name), []byte(words.Replace(text)), 0o600); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return nil
}
