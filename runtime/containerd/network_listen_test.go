package containerd_test

import (
	"net"
	"strings"
	"testing"
	"time"
)

// listenEverywhere answers on every address that the machine has, those of bridges
// too, and gives them. Loopback addresses are the caller's own, wherever it is.
func listenEverywhere(t *testing.T) (addresses []string, stop func()) {
	t.Helper()
	listener, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conn.Write([]byte("i am the host\n"))
			conn.Close()
		}
	}()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	devices, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, device := range devices {
		given, err := device.Addrs()
		if err != nil {
			t.Fatal(err)
		}
		for _, address := range given {
			ip, _, err := net.ParseCIDR(address.String())
			if err != nil || ip.IsLoopback() {
				continue
			}
			host := ip.String()
			if ip.IsLinkLocalUnicast() {
				host += "%eth0" // as the caller would have to say
			}
			addresses = append(addresses, net.JoinHostPort(host, port))
		}
	}
	for _, address := range addresses { // or nothing could be told from their silence
		if strings.Contains(address, "%") {
			continue
		}
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			t.Fatalf("the host does not answer itself: %v", err)
		}
		conn.Close()
	}
	return addresses, func() { listener.Close() }
}
