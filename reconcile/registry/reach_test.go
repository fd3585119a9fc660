package registry

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/backstop-dev/backstop/reconcile"
)

func TestReach(t *testing.T) {
	out, in := newReach("", nil), newReach("10.96.0.1", nil)
	for _, c := range []struct {
		addr         string
		outside, pod bool
	}{
		{"93.184.216.34", true, true},
		{"10.20.0.7", true, true},
		{"192.168.1.5", true, true},
		{"10.96.12.1", true, false},
		{"127.0.0.1", true, false},
		{"::1", true, false},
		{"169.254.169.254", false, false},
		{"fe80::1", false, false},
		{"fd00:ec2::254", false, false},
		{"100.100.100.200", false, false},
		{"64:ff9b::a9fe:a9fe", false, false},
		// A Service, and this machine, as IPv6 networks reach them.
		{"::ffff:10.96.12.1", true, false},
		{"64:ff9b::a60:c01", true, false},
		{"64:ff9b:1:a60:c:100:100:0", true, false},
		{"2002:a60:c01::1", true, false},
		{"::a60:c01", true, false},
		{"64:ff9b::7f00:1", true, false},
		{"64:ff9b::a14:7", true, true},
		{"0.0.0.0", false, false},
		{"224.0.0.1", false, false},
	} {
		addr := netip.MustParseAddr(c.addr)
		if out.allows(addr) != c.outside || in.allows(addr) != c.pod {
			t.Errorf("%s: outside of a cluster %v, in one %v", addr, out.allows(addr), in.allows(addr))
		}
	}
}

func TestAnAddressIsJudgedWhereItIsDialled(t *testing.T) {
	for _, c := range []struct {
		image string
		hosts []string
		want  string
	}{
		{"169.254.169.254/latest/meta-data:x", nil, "no image leads to"},
		{"[::ffff:169.254.169.254]:80/latest/meta-data:x", nil, ""},
		// A name is judged by what it was looked up to be.
		{"localhost:1/app:v1", nil, "no image leads to"},
		{"localhost:1/app:v1", []string{"localhost:1"}, "connection refused"},
		{"localhost:1/app:v1", []string{"localhost"}, "connection refused"},
		{"127.0.0.1:1/app:v1", []string{"localhost"}, "no image leads to"},
	} {
		r := New(Options{Service: "10.96.0.1", Hosts: c.hosts})
		p := r.Prove(t.Context(), reconcile.Question{Image: c.image, Access: reconcile.Access{Insecure: true}})
		if p.Finding == reconcile.FindingPresent || !strings.Contains(p.Sentence, c.want) {
			t.Errorf("%s: %s, want %q", c.image, p.Sentence, c.want)
		}
	}
}

// A proxy dials for Backstop, and from where it stands.
func TestAProxyIsNotSentToWhereNoImageLeads(t *testing.T) {
	var asked atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusNotFound)
	}))
	defer proxy.Close()
	for image, want := range map[string]int32{
		"169.254.169.254/latest/meta-data:x": 0, "[fd00:ec2::254]/latest:x": 0, "registry.example.com/app:v1": 1,
		"metadata.google.internal/latest:x": 0, "instance-data:80/latest:x": 0,
		"[64:ff9b:1:a9fe:a9:fe00::]/latest:x": 0, "[2001:0:4136:e378:8000:63bf:5601:5601]/latest:x": 0,
		"2852039166:80/latest:x": 0, "0xa9.0xfe.0xa9.0xfe/latest:x": 0, "169.254.43518/latest:x": 0,
	} {
		asked.Store(0)
		r := New(Options{})
		p := r.Prove(t.Context(), reconcile.Question{Image: image, Access: reconcile.Access{Insecure: true, Proxy: proxy.URL}})
		if got := asked.Load(); min(got, 1) != want || p.Finding != reconcile.FindingUnproved {
			t.Errorf("%s: the proxy was asked %d times: %s", image, got, p.Sentence)
		}
	}
}

// Through a proxy a Service has only its name.
func TestAProxyIsNotSentToAService(t *testing.T) {
	for _, c := range []struct {
		host  string
		hosts []string
		want  bool
	}{
		{"registry.tools.svc", nil, true},
		{"registry.tools.svc.cluster.local.", nil, true},
		{"registry.tools.svc", []string{"registry.tools.svc"}, false},
		{"registry.tools.ｓvc", nil, true},
		{"registry.tools。svc。cluster。local", nil, true},
		{"registry.example.com", nil, false},
		{"svc.example.com", nil, false},
	} {
		if got := newReach("10.96.0.1", c.hosts).bars(c.host, c.host); got != c.want {
			t.Errorf("%s in a cluster, with %v: barred %v", c.host, c.hosts, got)
		}
		if newReach("", nil).bars(c.host, c.host) {
			t.Errorf("%s is barred outside of a cluster", c.host)
		}
	}
}

func TestTheNextAccessIsAskedWithNothingOfTheFirst(t *testing.T) {
	next := reconcile.Access{Insecure: true}
	first := reconcile.Access{Proxy: "http://127.0.0.1:1", DockerConfigs: [][]byte{[]byte(`{"auths":{}}`)}, Next: &next}
	if questionKey(reconcile.Question{Access: first}) == questionKey(reconcile.Question{Access: reconcile.Access{
		Proxy: first.Proxy, DockerConfigs: first.DockerConfigs}}) {
		t.Error("an answer is remembered for another way to ask")
	}
	tgt, err := parse("registry.example.com/app:v1", first)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := tgt.by(next); err != nil || again.ref.Context().Scheme() != "http" || tgt.ref.Context().Scheme() != "https" {
		t.Errorf("asked by %s after %s, %v", again.ref.Context().Scheme(), tgt.ref.Context().Scheme(), err)
	}
}
