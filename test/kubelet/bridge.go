//go:build linux

package kubelet

import (
	"fmt"
	"net"
	"os/exec"
	"strings"
)

// The network of the pods. The name is short, as the kernel wants it.
const (
	bridge  = "backstop-e2e"
	gateway = "10.241.77.1"
	subnet  = "10.241.77.0/24"
)

// Gateway is the machine's address on the bridge, at which pods reach what listens there.
func Gateway() net.IP { return net.ParseIP(gateway) }

// Bridge makes the network that pods are attached to, so that servers can listen on its address before the node starts.
// remove takes it away.
// There is one on a machine: it refuses a second, and sweeps up what a killed run left.
func Bridge() (remove func(), err error) {
	if pid := sweep(); pid != 0 {
		return nil, fmt.Errorf("process %d runs a node already, and the bridge %s is its own", pid, bridge)
	}
	remove = func() { _ = exec.Command("ip", "link", "delete", bridge).Run() }
	remove() // what a killed run left
	for _, args := range [][]string{
		{"link", "add", "name", bridge, "type", "bridge"},
		{"address", "add", gateway + "/24", "dev", bridge},
		{"link", "set", bridge, "up"},
	} {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			remove()
			return nil, fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
		}
	}
	return remove, nil
}
