package registry

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"github.com/backstop-dev/backstop/internal/cloud"
)

// reach is where images may lead. Whoever creates a pod chooses its image, and with it whom Backstop asks: from its
// place in the network it would find out for him what answers where his own pods may not go. What is judged is the
// address that is dialled, after the name was looked up, so that a name cannot mean one address and then another.
type reach struct {
	// services are the addresses of the cluster's Services; not valid outside of a cluster.
	services netip.Prefix
	hosts    []string
}

// newReach knows where the cluster's Services are by the address of one. Their range is not told to anybody in the
// cluster: what shares its first 16 bits counts, as in most clusters.
func newReach(service string, hosts []string) reach {
	out := reach{hosts: hosts}
	addr, err := netip.ParseAddr(service)
	if err != nil {
		return out
	}
	bits := 16
	if addr.Is6() {
		bits = 108
	}
	out.services, _ = addr.Prefix(bits)
	return out
}

// control refuses to dial what an image of a host must not lead to.
func (r reach) control(host string) func(network, address string, _ syscall.RawConn) error {
	return func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("dial %s: %w", address, err)
		}
		if !r.allows(at.Addr().Unmap()) && !slices.Contains(r.hosts, host) && !slices.Contains(r.hosts, hostname(host)) {
			return errForbidden
		}
		return nil
	}
}

// bars reports whether an address, written as one, or a name that leads inside wherever it is looked up, must not be
// asked for an image of a host. What a proxy dials is not seen here, and so what a name means to it.
func (r reach) bars(host, asked string) bool {
	addr, err := netip.ParseAddr(asked)
	no := cloud.Disguised(asked) || cloud.Named(asked) || r.services.IsValid() && ofService(asked) ||
		err == nil && !r.allows(addr.Unmap())
	return no && !slices.Contains(r.hosts, host) && !slices.Contains(r.hosts, hostname(host))
}

func (r reach) allows(addr netip.Addr) bool {
	return !cloud.Metadata(addr) && !slices.ContainsFunc(cloud.Meant(addr), func(addr netip.Addr) bool {
		return addr.IsUnspecified() || addr.IsMulticast() ||
			r.services.IsValid() && (addr.IsLoopback() || r.services.Contains(addr))
	})
}

// ofService reports whether a host is the name of one of the cluster's Services.
func ofService(host string) bool {
	host = cloud.Plain(host)
	return strings.HasSuffix(host, ".svc") || strings.HasSuffix(host, ".cluster.local")
}
