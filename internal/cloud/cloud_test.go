package cloud

import (
	"errors"
	"net/netip"
	"testing"
)

func TestMetadata(t *testing.T) {
	for addr, want := range map[string]bool{
		"169.254.169.254":        true,
		"169.254.170.23":         true,
		"::ffff:169.254.169.254": true,
		"64:ff9b::a9fe:a9fe":     true,
		"fe80::1%eth0":           true,
		"fd00:ec2::254":          true,
		"fd00:ec2::23":           true,
		"fd20:ce::254":           true,
		"100.100.100.200":        true,
		"168.63.129.16":          true,
		"192.0.0.192":            true,
		"64:ff9b::0a00:1":        false,
		"100.100.100.201":        false,
		"10.0.0.1":               false,
		"fd00:ec3::254":          false,
		"127.0.0.1":              false,
		"93.184.216.34":          false,
	} {
		at := netip.MustParseAddr(addr)
		if got := Metadata(at); got != want {
			t.Errorf("%s: %v, want %v", addr, got, want)
		}
		if err := Refuse("tcp", netip.AddrPortFrom(at, 80).String(), nil); errors.Is(err, ErrMetadata) != want {
			t.Errorf("%s is dialled: %v", addr, err)
		}
	}
}
