package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"

	"holdfast/edge"
)

// monitor is what QEMU is told while its machine runs, as its own protocol has it.
type monitor struct {
	conn net.Conn
	said *json.Decoder
}

// dialMonitor reaches the monitor of a machine that was started just now.
func dialMonitor(ctx context.Context, socket string) (*monitor, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	pause := time.NewTicker(50 * time.Millisecond)
	defer pause.Stop()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
		if err == nil {
			return greet(ctx, conn)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("cannot reach QEMU: %w", err)
		case <-pause.C:
		}
	}
}

// greet takes what QEMU says first, without whose answer it does nothing.
func greet(ctx context.Context, conn net.Conn) (*monitor, error) {
	m := &monitor{conn, json.NewDecoder(conn)}
	var greeting struct {
		QMP json.RawMessage
	}
	if err := m.said.Decode(&greeting); err != nil || greeting.QMP == nil {
		return nil, errors.Join(fmt.Errorf("cannot read QEMU's greeting: %w", edge.ErrInvalid), err, conn.Close())
	}
	if err := m.do(ctx, "qmp_capabilities", nil); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return m, nil
}

// Close lets go of it.
func (m *monitor) Close() error { return m.conn.Close() }

// do has QEMU do something, and waits until it has.
func (m *monitor) do(ctx context.Context, what string, with map[string]any) error {
	stop := context.AfterFunc(ctx, func() { _ = m.conn.SetDeadline(time.Now()) }) // what it reads then fails
	defer stop()
	if with == nil {
		with = map[string]any{}
	}
	if err := json.NewEncoder(m.conn).Encode(map[string]any{"execute": what, "arguments": with}); err != nil {
		return fmt.Errorf("cannot tell QEMU to %s: %w", what, err)
	}
	for {
		var answer struct {
			Return json.RawMessage `json:"return"`
			Error  *struct {
				Desc string `json:"desc"`
			} `json:"error"`
		}
		switch err := m.said.Decode(&answer); {
		case err != nil:
			return errors.Join(fmt.Errorf("cannot hear whether QEMU did %s: %w", what, err), ctx.Err())
		case answer.Error != nil:
			return fmt.Errorf("cannot have QEMU do %s: %s: %w", what, answer.Error.Desc, edge.ErrInvalid)
		case answer.Return != nil:
			return nil
		}
		// It was an event, which anybody may get at any time.
	}
}

// plug puts the cable into the machine's network card, or takes it out.
func (m *monitor) plug(ctx context.Context, in bool) error {
	return m.do(ctx, "set_link", map[string]any{"name": card, "up": in})
}

// picture writes what the machine's screen shows, as PNG.
func (m *monitor) picture(ctx context.Context, to string) error {
	return m.do(ctx, "screendump", map[string]any{"filename": to, "format": "png"})
}
