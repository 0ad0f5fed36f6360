package relay

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Verb is the argument that makes this program a relay.
const Verb = "relay"

// Client tells the relay of one folder what to do, and starts it.
type Client struct {
	folder  string
	command []string
}

// New returns a client. The command is the one that calls Main; nil stands for this
// program with Verb. It does no I/O.
func New(folder string, command []string) *Client {
	if command == nil {
		command = []string{"/proc/self/exe", Verb}
	}
	return &Client{folder: folder, command: command}
}

const (
	// answerWithin bounds one conversation with a relay.
	answerWithin = 5 * time.Second
	// startWithin bounds its start, which is twice that of this program.
	startWithin = 20 * time.Second
)

// Set makes routes all that is listened on, and returns why some could not be had. With
// none, a relay that runs ends. Of two calls at once either may come last.
func (c *Client) Set(ctx context.Context, routes []Route) (problems map[string]string, err error) {
	own, err := program()
	if err != nil {
		return nil, err
	}
	said, err := c.ask(ctx, request{own, routes})
	switch away := isAway(err); {
	case away && len(routes) == 0:
		return nil, nil
	case err != nil && !away:
		return nil, err
	case err == nil && !said.Outdated:
		return said.Problems, nil
	}
	if err := c.start(ctx); err != nil {
		return nil, err
	}
	said, err = c.ask(ctx, request{own, routes})
	return said.Problems, err
}

// PID is the process that listens for what it is to do; 0: there is none.
func (c *Client) PID() int {
	conn, err := net.DialTimeout("unix", socketIn(c.folder), answerWithin)
	if err != nil {
		return 0
	}
	defer conn.Close()
	end, ok := conn.(syscall.Conn)
	if !ok {
		return 0
	}
	raw, err := end.SyscallConn()
	if err != nil {
		return 0
	}
	pid := 0
	_ = raw.Control(func(fd uintptr) {
		if peer, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = int(peer.Pid)
		}
	})
	return pid
}

// isAway tells that nobody listens.
func isAway(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED)
}

func (c *Client) ask(ctx context.Context, what request) (said answer, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socketIn(c.folder))
	if err != nil {
		return said, fmt.Errorf("cannot reach relay of ports: %w", err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err = say(conn, what); err == nil {
		err = json.NewDecoder(bufio.NewReader(conn)).Decode(&said)
	}
	if err != nil {
		return said, fmt.Errorf("relay of ports does not answer: %w", err)
	}
	return said, nil
}

// start returns once a relay listens.
func (c *Client) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	if err := os.MkdirAll(c.folder, 0o700); err != nil {
		return fmt.Errorf("cannot create folder of relay: %w", err)
	}
	cmd := exec.CommandContext(ctx, c.command[0], append(c.command[1:len(c.command):len(c.command)], c.folder)...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("cannot start relay of ports: %w: %s", err, bytes.TrimSpace(complaint.Bytes()))
	}
	return nil
}

func socketIn(folder string) string { return filepath.Join(folder, "socket") }
func lockIn(folder string) string   { return filepath.Join(folder, "lock") }
