package relay_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"holdfast/edge/netns"
	"holdfast/runtime/relay"
)

// ways are how an instance is reached: through the relay, and by a call made in its own
// network, which is what can be had at best.
func ways(b *testing.B) map[string]func() (net.Conn, error) {
	one, address := start(b, "one"), free(b)
	newBench(b).set(b, relay.Route{Listen: address, Targets: []relay.Target{one.target}})
	return map[string]func() (net.Conn, error){
		"Relay": func() (net.Conn, error) { return net.Dial("tcp", address) },
		"Inside": func() (conn net.Conn, err error) {
			err = netns.Do(one.target.PID, 0, func() error {
				conn, err = net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", inside))
				return err
			})
			return conn, err
		},
	}
}

// BenchmarkConnect makes a connection and hears the first line on it.
func BenchmarkConnect(b *testing.B) {
	for name, dial := range ways(b) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				conn, err := dial()
				if err != nil {
					b.Fatal(err)
				}
				if _, err := readLine(conn); err != nil {
					b.Fatal(err)
				}
				conn.Close()
			}
		})
	}
}

// BenchmarkAsk sends a line on an open connection and hears it back.
func BenchmarkAsk(b *testing.B) { benchmarkEcho(b, 64) }

// BenchmarkCarry does so with 1 MiB.
func BenchmarkCarry(b *testing.B) { benchmarkEcho(b, 1<<20) }

func benchmarkEcho(b *testing.B, size int) {
	for name, dial := range ways(b) {
		b.Run(name, func(b *testing.B) {
			conn, err := dial()
			if err != nil {
				b.Fatal(err)
			}
			defer conn.Close()
			if _, err := readLine(conn); err != nil {
				b.Fatal(err)
			}
			said, heard := []byte(strings.Repeat("x", size)), make([]byte, size)
			b.SetBytes(int64(size))
			for b.Loop() {
				sent := make(chan error, 1)
				go func() {
					_, err := conn.Write(said)
					sent <- err
				}()
				if _, err := io.ReadFull(conn, heard); err != nil {
					b.Fatal(err)
				}
				if err := <-sent; err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
