package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
)

// forward joins what it is asked and what it answers with a connection to an address: the
// emulator starts it for each connection that a machine makes to where a server is shown
// to it, and nothing else of this machine's can be reached from there.
func forward(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return errors.New("cannot forward: want one address")
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", args[0])
	if err != nil {
		return fmt.Errorf("cannot forward: %w", err)
	}
	defer conn.Close()
	go func() { // until the machine has said all; at the latest it ends with this program
		_, _ = io.Copy(conn, os.Stdin) // either end may break it off
		if half, ok := conn.(*net.TCPConn); ok {
			_ = half.CloseWrite()
		}
	}()
	_, _ = io.Copy(os.Stdout, conn)
	return nil // with this program its standard input is closed, and the machine sees the end
}
