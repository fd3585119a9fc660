// Package cloud knows the addresses of clouds' metadata services, which serve secrets to the machine that asks.
package cloud

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/net/idna"
)

// metadata are the addresses beside the link-local ones: of AWS over IPv6, of Google, Oracle, Scaleway and Akamai over
// IPv6, of Alibaba, of Azure's host and of Oracle.
var metadata = []netip.Prefix{
	netip.MustParsePrefix("fd00:ec2::/32"),
	netip.MustParsePrefix("fd20:ce::254/128"),
	netip.MustParsePrefix("fd00:c1::a9fe:a9fe/128"),
	netip.MustParsePrefix("fd00:42::42/128"),
	netip.MustParsePrefix("fd00:a9fe:a9fe::1/128"),
	netip.MustParsePrefix("100.100.100.200/32"),
	netip.MustParsePrefix("168.63.129.16/32"),
	netip.MustParsePrefix("192.0.0.192/32"),
}

// translated is where IPv6 networks reach IPv4 addresses, and tunnelled where these are what follows the first 16 bits.
var (
	translated = []netip.Prefix{netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("::/96")}
	ownPrefix  = netip.MustParsePrefix("64:ff9b:1::/48")
	tunnelled  = netip.MustParsePrefix("2002::/16")
	teredo     = netip.MustParsePrefix("2001::/32")
)

// carried says by its bytes where an IPv6 address carries an IPv4 one, behind a prefix of 96, 64, 56 and 48 bits (RFC
// 6052: the ninth byte stays empty).
var carried = [][4]int{{12, 13, 14, 15}, {9, 10, 11, 12}, {7, 9, 10, 11}, {6, 7, 9, 10}}

// Meant are the addresses that an address may lead to: itself, and the IPv4 addresses that it stands for.
func Meant(addr netip.Addr) []netip.Addr {
	addr = addr.Unmap().WithZone("")
	out := []netip.Addr{addr}
	if addr.Is4() {
		return out
	}
	all := addr.As16()
	at := func(where [4]int) netip.Addr {
		return netip.AddrFrom4([4]byte{all[where[0]], all[where[1]], all[where[2]], all[where[3]]})
	}
	isatap := all[8]&^2 == 0 && all[9] == 0 && all[10] == 0x5e && all[11] == 0xfe
	switch {
	case tunnelled.Contains(addr):
		out = append(out, at([4]int{2, 3, 4, 5}))
	case teredo.Contains(addr):
		// It is written with each bit turned round.
		client := netip.AddrFrom4([4]byte{^all[12], ^all[13], ^all[14], ^all[15]})
		out = append(out, at([4]int{4, 5, 6, 7}), client)
	case ownPrefix.Contains(addr):
		for _, where := range carried {
			out = append(out, at(where))
		}
	case isatap, slices.ContainsFunc(translated, func(p netip.Prefix) bool { return p.Contains(addr) }):
		out = append(out, at(carried[0]))
	default:
		// A network may translate below a prefix of its own, which nobody here knows.
		if last := at(carried[0]); last == everywhere {
			out = append(out, last)
		}
	}
	return out
}

// everywhere is where most clouds serve their metadata.
var everywhere = netip.MustParseAddr("169.254.169.254")

// Metadata reports whether an address is link-local or one at which a cloud tells a machine its credentials, or stands
// for such an address.
func Metadata(addr netip.Addr) bool {
	return slices.ContainsFunc(Meant(addr), func(addr netip.Addr) bool {
		return addr.IsLinkLocalUnicast() ||
			slices.ContainsFunc(metadata, func(p netip.Prefix) bool { return p.Contains(addr) })
	})
}

// Plain is a host in the letters in which it is asked: a URL may say it in others, such as full-width digits, which
// libraries turn into these before they ask a proxy.
func Plain(host string) string {
	if out, err := idna.Lookup.ToASCII(host); err == nil {
		host = out
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// Disguised reports whether a host is an address that is not written as one: 2852039166, 0xa9.0xfe.0xa9.0xfe and
// 169.254.169.254. are addresses to many a proxy and library, and names to others. No name ends in a number.
func Disguised(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return false
	}
	said := host
	if host = Plain(host); host != strings.ToLower(strings.TrimSuffix(said, ".")) {
		if _, err := netip.ParseAddr(host); err == nil {
			return true
		}
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	if hex, is := strings.CutPrefix(last, "0x"); is {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}

// names are those under which clouds serve their metadata: of Google, of AWS, of Azure and of Tencent. regional begins
// that of AWS in a region.
var names = []string{
	"metadata.google.internal", "metadata.goog", "metadata", "instance-data", "instance-data.ec2.internal",
	"metadata.azure.internal", "metadata.tencentyun.com",
}

const regional = "instance-data."

// Named reports whether a host is the name of a cloud's metadata service. Here it is judged by what it was looked up to
// be, and by a proxy it is not.
func Named(host string) bool {
	host = Plain(host)
	return slices.Contains(names, host) ||
		strings.HasPrefix(host, regional) && strings.HasSuffix(host, ".compute.internal")
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
