package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"holdfast/build/stand"
)

// idleFor is a multiple of the time from one report of vitals to the next, so that it
// holds as many of them, whenever it begins.
const idleFor = 2 * time.Minute

// owedFor lets the agent write down what was confirmed before: it does so within a minute,
// and the file system 5 s later.
const owedFor = 70 * time.Second

// idle takes what a node costs on the wire and in flash while nothing happens. The
// baseline on the wire is mosquitto's own client, subscribed, that asks as often.
func (l *linked) idle(ctx context.Context) (err error) {
	wire, err := stand.StretchWire(l.broker.Address())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, wire.Close()) }()
	bare := l.receiver(wire.Address(), "bench")
	if err := bare.Start(); err != nil {
		return fmt.Errorf("cannot start client: %w: apt-get install mosquitto-clients", err)
	}
	defer func() { _, _ = bare.Process.Kill(), bare.Wait() }()
	if err := pause(ctx, owedFor); err != nil {
		return err
	}
	ours, plain := l.wire.Carried(), wire.Carried()
	_, wrote, err := l.disk.measure(func() error { return pause(ctx, idleFor) })
	if err != nil {
		return err
	}
	ours, plain = l.wire.Carried()-ours, wire.Carried()-plain
	row("idle: on the wire a day, from 2 min", perDay(ours, idleFor), perDay(plain, idleFor), 0, "(baseline: mosquitto_sub, as often asked)")
	row("idle: written to the block device a day, from 2 min", perDay(wrote, idleFor), "", 0, "≤ 5 MB")
	return nil
}

// settleFor lets go out what a change before has left: the file system commits after
// 5 s, and the spool after as many.
const settleFor = 11 * time.Second

// busy takes what one task a second costs in flash while the fleet confirms each. The
// agent begins anew: at its end it writes down that the backlog is done with, which would
// come a minute later otherwise.
func (l *linked) busy(ctx context.Context) error {
	const during = 30 * time.Second
	if err := l.node.StopAgent(ctx); err != nil {
		return err
	}
	if err := l.node.StartAgent(ctx); err != nil {
		return err
	}
	if err := l.awaitTold(ctx); err != nil {
		return err
	}
	if err := pause(ctx, settleFor); err != nil {
		return err
	}
	wrote, err := l.oneASecond(ctx, during)
	if err == nil {
		row("a task a second, confirmed: written a day, from 30 s", perDay(wrote, during), "", 0, "≤ 5 MB")
	}
	return err
}

// cutOff takes the same without a fleet. The first minutes keep the pace of 5 s; a whole
// day is paced, which takes a day to see, or virtual time.
func (l *linked) cutOff(ctx context.Context) error {
	const during = time.Minute
	l.wire.Cut()
	if err := l.awaitLink(ctx, "left", func(up, _ bool, _ uint64) bool { return !up }); err != nil {
		return err
	}
	wrote, err := l.oneASecond(ctx, during)
	if err == nil {
		row("the same cut off, the first minutes: a day, from 1 min", perDay(wrote, during), "", 0, "(≤ 60 MB over a whole day: mqtt/outbox/DESIGN.md)")
	}
	return err
}

// oneASecond tells what was written while one task a second was answered.
func (l *linked) oneASecond(ctx context.Context, during time.Duration) (uint64, error) {
	task := func() error {
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		end := time.After(during)
		for {
			select {
			case <-ticker.C:
			case <-end:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
			if err := l.ask(ctx, 1); err != nil {
				return err
			}
		}
	}
	_, wrote, err := l.disk.measure(task)
	return wrote, err
}

func pause(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// perDay says how much a day holds of what was seen in a shorter time.
func perDay(bytes uint64, in time.Duration) string {
	return fmt.Sprintf("%.2f MB", float64(bytes)*float64(24*time.Hour)/float64(in)/1e6)
}
