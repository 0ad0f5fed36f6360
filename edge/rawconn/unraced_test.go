//go:build !race

package rawconn_test

import "testing"

// Under the race detector nothing is left in the socket.
func TestUnix_TakeLate_Leaves(t *testing.T) {
	raw, peer := late(t)
	_, _ = peer.Write([]byte("question"))
	if n, err := raw.Read(make([]byte, 100)); n != 8 || err != nil {
		t.Fatalf("got %d, %v", n, err)
	}
	if n := untaken(t, peer); n == 0 {
		t.Error("what has been read was taken from the socket before the answer")
	}
}
