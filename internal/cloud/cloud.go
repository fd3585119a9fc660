// Package cloud knows the addresses of clouds' metadata services, which serve secrets to the machine that asks.
package cloud

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
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

// translated is where IPv6 networks reach IPv4 addresses, which are the last 32 bits, and tunnelled where they are
// those after the first 16.
var (
	translated = []netip.Prefix{
		netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("::/96"),
	}
	tunnelled = netip.MustParsePrefix("2002::/16")
)

// Metadata reports whether an address is link-local or one at which a cloud tells a machine its credentials.
func Metadata(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	all := addr.As16()
	switch {
	case addr.Is4():
	case tunnelled.Contains(addr):
		addr = netip.AddrFrom4([4]byte(all[2:6]))
	case slices.ContainsFunc(translated, func(p netip.Prefix) bool { return p.Contains(addr) }):
		addr = netip.AddrFrom4([4]byte(all[12:]))
	}
	return addr.IsLinkLocalUnicast() ||
		slices.ContainsFunc(metadata, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// Disguised reports whether a host is an address that is not written as one: 2852039166, 0xa9.0xfe.0xa9.0xfe and
// 169.254.169.254. are addresses to many a proxy and library, and names to others. No name ends in a number.
func Disguised(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return false
	}
	host = strings.TrimSuffix(host, ".")
	last := strings.ToLower(host[strings.LastIndexByte(host, '.')+1:])
	if hex, is := strings.CutPrefix(last, "0x"); is {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}

// names are those under which clouds serve their metadata: of Google, of AWS, of Azure and of Tencent.
var names = []string{
	"metadata.google.internal", "metadata.goog", "metadata", "instance-data", "instance-data.ec2.internal",
	"metadata.azure.internal", "metadata.tencentyun.com",
}

// Named reports whether a host is the name of a cloud's metadata service. Here it is judged by what it was looked up to
// be, and by a proxy it is not.
func Named(host string) bool {
	return slices.Contains(names, strings.ToLower(strings.TrimSuffix(host, ".")))
}

// Bars reports whether a host, as a URL names it, must not be asked through a proxy, which dials it from where it
// stands: one of a cloud's metadata, by its address or its name, or an address in disguise.
func Bars(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && Metadata(addr) || Disguised(host) || Named(host)
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
