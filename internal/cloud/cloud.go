// Package cloud knows the addresses of clouds' metadata services, which serve secrets to the machine that asks.
package cloud

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"
)

// metadata are the addresses beside the link-local ones: of AWS over IPv6, of Google over IPv6, of Alibaba, of Azure's
// host and of Oracle.
var metadata = []netip.Prefix{
	netip.MustParsePrefix("fd00:ec2::/32"),
	netip.MustParsePrefix("fd20:ce::254/128"),
	netip.MustParsePrefix("100.100.100.200/32"),
	netip.MustParsePrefix("168.63.129.16/32"),
	netip.MustParsePrefix("192.0.0.192/32"),
}

// translated is where IPv6 networks reach IPv4 addresses, which are the last 32 bits.
var translated = netip.MustParsePrefix("64:ff9b::/96")

// Metadata reports whether an address is link-local or one at which a cloud tells a machine its credentials.
func Metadata(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	if translated.Contains(addr) {
		all := addr.As16()
		addr = netip.AddrFrom4([4]byte(all[12:]))
	}
	return addr.IsLinkLocalUnicast() ||
		slices.ContainsFunc(metadata, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// ErrMetadata means that something leads to such an address.
var ErrMetadata = errors.New("an address of a cloud's metadata")

// Refuse is a net.Dialer's Control that dials no such address, after the name was looked up.
func Refuse(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("dial %s: %w", address, err)
	}
	if Metadata(at.Addr()) {
		return ErrMetadata
	}
	return nil
}
