package containerd_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast/edge"
	"holdfast/runtime/containerd"
)

const routes = `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	010200C0	0003	0	0	0	00000000	0	0	0
hf0123456789	0007C80A	00000000	0001	0	0	0	00FFFFFF	0	0	0
wg0	0007C80A	00000000	0001	0	0	0	80FFFFFF	0	0	0
eth0	000200C0	00000000	0001	0	0	0	00FFFFFF	0	0	0
`

func TestRouteInto(t *testing.T) {
	for _, test := range []struct{ subnet, bridge, want string }{
		{"10.200.7.0/24", "hf0123456789", "wg0"},
		{"10.200.7.0/24", "hfother", "hf0123456789"},
		{"10.200.8.0/24", "hf0123456789", ""},
		{"192.0.2.0/24", "hf0123456789", "eth0"},
		{"192.0.0.0/16", "hf0123456789", "eth0"},
	} {
		if got, found := containerd.RouteInto(routes, netip.MustParsePrefix(test.subnet), test.bridge); got != test.want || found != (test.want != "") {
			t.Errorf("%s: got %q, %t, want %q", test.subnet, got, found, test.want)
		}
	}
}

// TestRemoveBridge: a bridge of which nothing can be found out, for want of files, is not
// taken to be gone.
func TestRemoveBridge(t *testing.T) {
	const nobody = "hf-nobody"
	if err := containerd.RemoveBridge(nobody); err != nil {
		t.Errorf("got %v of a bridge that is not there", err)
	}
	subnet := netip.MustParsePrefix("10.200.7.0/24")
	if err := containerd.TakeAddress(nobody, subnet); err != nil {
		t.Errorf("got %v of a bridge that is not there", err)
	}
	bridge := newBridge(t)
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 0, Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	removed, taken := containerd.RemoveBridge(bridge), containerd.TakeAddress(bridge, subnet)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	if removed == nil || taken == nil {
		t.Errorf("got %v and %v, want that nothing could be found out", removed, taken)
	}
	if err := errors.Join(containerd.TakeAddress(bridge, subnet), containerd.RemoveBridge(bridge)); err != nil {
		t.Errorf("with files again: got %v", err)
	}
	if _, err := net.InterfaceByName(bridge); err == nil {
		t.Error("the bridge is there still")
	}
}

// newBridge makes a bridge of the machine, which goes with the test.
func newBridge(t *testing.T) string {
	t.Helper()
	name := fmt.Sprintf("hft%d", os.Getpid())
	if out, err := exec.Command("ip", "link", "add", name, "type", "bridge").CombinedOutput(); err != nil {
		t.Fatalf("cannot make a bridge: %v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("ip", "link", "delete", name).Run() }) // it should have gone
	return name
}

func TestOutsideResolvers(t *testing.T) {
	for text, want := range map[string]string{
		"": "",
		"# by hand\nnameserver 192.0.2.53\nsearch  plant.example hall.example\noptions edns0\n": "nameserver 192.0.2.53\nsearch plant.example hall.example\noptions edns0\n",
		"nameserver 127.0.0.53\nnameserver ::1\nnameserver fd00::53":                            "nameserver fd00::53\n",
		"nameserver\nnameserver somewhere\nsortlist 10.0.0.0\n":                                 "",
	} {
		if got := containerd.OutsideResolvers(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestPortsOf(t *testing.T) {
	ports := []edge.Port{{Port: 8080, Target: 80}, {Host: "0.0.0.0", Port: 443, Target: 8443}, {Host: "::1", Port: 1, Target: 65535}}
	if got := containerd.PortsOf(containerd.PortWords(ports)); !slices.Equal(got, ports) {
		t.Errorf("got %v, want %v", got, ports)
	}
}

func FuzzPortsOf(f *testing.F) {
	f.Add("127.0.0.1:8080->80 [::1]:1->2 x->y 1.2.3.4:99999->1")
	f.Fuzz(func(t *testing.T, label string) {
		once := containerd.PortsOf(label)
		if again := containerd.PortsOf(containerd.PortWords(once)); !slices.Equal(again, once) {
			t.Errorf("%q: got %v, want %v again", label, again, once)
		}
	})
}

func FuzzHeardOf(f *testing.F) {
	one := containerd.Message(16, "hf0123456789")
	f.Add(one)
	f.Add(bytes.Repeat(one, 3))
	f.Add(one[:len(one)-3])
	f.Add(containerd.Message(2, "\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if count, _ := containerd.HeardOf(raw); count > len(raw)/16 {
			t.Errorf("got %d messages in %d bytes", count, len(raw))
		}
	})
	if count, err := containerd.HeardOf([]byte(strings.Repeat(string(one), 3))); err != nil || count != 3 {
		f.Errorf("got %d, %v, want three messages", count, err)
	}
}
