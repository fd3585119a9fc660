package cloud

import (
	"errors"
	"net/netip"
	"testing"
)

func TestDisguised(t *testing.T) {
	for host, want := range map[string]bool{
		"2852039166": true, "0xa9fea9fe": true, "0xa9.0xfe.0xa9.0xfe": true, "0251.0376.0251.0376": true, "169.16689662": true,
		"169.254.169.254.": true, "169.254.43518": true, "0X7F.1": true,
		"169.254.169.254": false, "::1": false, "fe80::1%eth0": false, "git.example.com": false, "git.example.com.": false, "localhost": false,
		"169.254.169.２５４": true, "１６９.２５４.１６９.２５４": true, "169。254。169。254": true, "①⑥⑨.254.169.254": true, "０xa9fea9fe": true,
		"bücher.example.com": false, "例え.jp": false, "a_b.example.com": false,
		"1password.com": false, "a.0xyz": false, "": false, "registry-1": false,
	} {
		if got := Disguised(host); got != want {
			t.Errorf("%s: %v", host, got)
		}
	}
}

func TestWhatNoProxyIsSentTo(t *testing.T) {
	for host, want := range map[string]bool{
		"metadata.google.internal": true, "Metadata.Google.Internal.": true, "metadata.goog": true, "metadata": true, "instance-data": true,
		"169.254.169.254": true, "2852039166": true, "fd00:ec2::254": true, "64:ff9b:1:a9fe:a9:fe00::": true,
		"ｍetadata.google.internal": true, "metadata。google。internal": true, "instance-data.eu-west-1.compute.internal": true,
		"instance-data.example.com": false, "ip-10-0-0-1.eu-west-1.compute.internal": false,
		"metadata.example.com": false, "google.internal": false, "git.example.com": false, "10.0.0.1": false,
	} {
		if got := Bars(host); got != want {
			t.Errorf("%s: %v, want %v", host, got, want)
		}
	}
}

func TestMetadata(t *testing.T) {
	for addr, want := range map[string]bool{
		"169.254.169.254":        true,
		"169.254.170.23":         true,
		"::ffff:169.254.169.254": true,
		"64:ff9b::a9fe:a9fe":     true,
		"64:ff9b:1::a9fe:a9fe":   true,
		"::a9fe:a9fe":            true,
		"2002:a9fe:a9fe::1":      true,
		"2002:0a00:1::1":         false,
		// Behind the prefix of a network's own translation, of 48, 56 and 64 bits.
		"64:ff9b:1:a9fe:a9:fe00::":      true,
		"64:ff9b:1:ffa9:fe:a9fe::":      true,
		"64:ff9b:1:ffff:a9:fea9:fe00:0": true,
		"64:ff9b:1:a00:0:100::":         false,
		// Behind one that nobody knows.
		"2001:db8:64::a9fe:a9fe": true,
		"2001:db8:64::a9fe:a9ff": false,
		// Through Teredo, its server and its client, and through ISATAP.
		"2001:0:a9fe:a9fe::1":                  true,
		"2001:0:4136:e378:8000:63bf:5601:5601": true,
		"2001:0:4136:e378:8000:63bf:3fff:fdd2": false,
		"2001:db8::5efe:a9fe:1":                true,
		"2001:db8::200:5efe:a9fe:1":            true,
		"2001:db8::5efe:a00:1":                 false,
		"::1":                                  false,
		"fe80::1%eth0":                         true,
		"fd00:ec2::254":                        true,
		"fd00:ec2::23":                         true,
		"fd20:ce::254":                         true,
		"fd00:c1::a9fe:a9fe":                   true,
		"fd00:42::42":                          true,
		"fd00:a9fe:a9fe::1":                    true,
		"100.100.100.200":                      true,
		"168.63.129.16":                        true,
		"192.0.0.192":                          true,
		"64:ff9b::0a00:1":                      false,
		"100.100.100.201":                      false,
		"10.0.0.1":                             false,
		"fd00:ec3::254":                        false,
		"127.0.0.1":                            false,
		"93.184.216.34":                        false,
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
