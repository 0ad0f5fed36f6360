package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/edge"
	"holdfast/edge/localapi"
)

// meetFleet starts a broker and somebody who attends to it. The node has looked for it
// all along.
func (s *show) meetFleet(ctx context.Context) error {
	if err := s.fleet.start("broker.log", "broker", "--listen", s.fleet.broker, "--anonymous"); err != nil {
		return err
	}
	fmt.Printf("a broker comes up on %s; the node, which has looked for one since its start, finds it\n", s.fleet.broker)
	err := s.fleet.start("attend.log", "fleet", "attend", "--broker", "tcp://"+s.fleet.broker, "--site", siteName,
		"--keep", s.fleet.keep, "--freshness", s.fleet.key("freshness-1"))
	if err != nil {
		return err
	}
	if err := s.awaitLink(ctx); err != nil {
		return err
	}
	return s.fleet.say(ctx, "nodes")
}

// awaitLink waits until the node is with its fleet and has told everything.
func (s *show) awaitLink(ctx context.Context) error {
	return s.await(ctx, "the fleet to have everything", func(status edge.Status) bool {
		return status.Link.Phase == "up" && status.Link.Confirms && status.Link.Waiting() == 0
	})
}

// await asks for the node's status until it is as wanted.
func (s *show) await(ctx context.Context, what string, is func(edge.Status) bool) error {
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		status, err := s.client.Status(ctx)
		if err == nil && is(status) {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("waited in vain for %s; the agent's log is %s", what, s.stand.AgentLog()), err)
		}
	}
}

// governFromAfar applies a policy over MQTT, and commands one restart twice.
func (s *show) governFromAfar(ctx context.Context) error {
	if err := s.fleet.sign(ctx, 2); err != nil {
		return err
	}
	if err := s.fleet.say(ctx, "apply", s.fleet.signed(2), "--root", s.fleet.path("root.json")); err != nil {
		return err
	}
	before, err := s.processes(ctx)
	if err != nil {
		return err
	}
	restart := []string{"command", nodeName, "restart", "line/digits", "--id", "restart-1", "--key", s.fleet.key("command-1")}
	if err := s.fleet.say(ctx, restart...); err != nil {
		return err
	}
	once, err := s.awaitOthers(ctx, before)
	if err != nil {
		return err
	}
	if err := s.fleet.say(ctx, restart...); err != nil {
		return err
	}
	twice, err := s.processes(ctx)
	fmt.Printf("  the models' processes: %v, after the command %v, after the same once more %v\n", before, once, twice)
	if slices.Equal(before, once) || !slices.Equal(once, twice) {
		err = errors.Join(err, errors.New("one command did not have one effect"))
	}
	return err
}

// awaitOthers waits until as many processes run as before, and none of those.
func (s *show) awaitOthers(ctx context.Context, before []uint32) (now []uint32, err error) {
	err = s.await(ctx, "other instances", func(edge.Status) bool {
		if now, err = s.processes(ctx); err != nil || len(now) != len(before) {
			return false
		}
		return !slices.ContainsFunc(now, func(pid uint32) bool { return pid == 0 || slices.Contains(before, pid) })
	})
	return now, errors.Join(err, s.awaitModels(ctx))
}

// cutOff pulls the cable, changes the policy meanwhile, kills the agent, and shows that
// nothing was lost when the cable is back.
func (s *show) cutOff(ctx context.Context) error {
	if err := s.awaitKnown(ctx, "line-3 v2"); err != nil {
		return err
	}
	s.fleet.wire.Cut()
	if err := s.await(ctx, "the link to be missed", func(status edge.Status) bool { return status.Link.Phase != "up" }); err != nil {
		return err
	}
	fmt.Println("  the cable is pulled; the node answers as before:")
	var asked []string
	if err := s.askAFew(ctx, &asked); err != nil {
		return err
	}
	if err := s.fleet.sign(ctx, 3); err != nil {
		return err
	}
	if err := s.fleet.say(ctx, "apply", s.fleet.signed(3), "--root", s.fleet.path("root.json"), "--wait", "0s"); err != nil {
		return err
	}
	// What happened lately is in memory for a few seconds. A power cut may take that;
	// this shows the rest.
	select {
	case <-time.After(7 * time.Second):
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := s.stand.KillAgent(); err != nil {
		return err
	}
	fmt.Println("  the agent is killed with SIGKILL and started again, still cut off:")
	if err := s.stand.StartAgent(ctx); err != nil {
		return err
	}
	if err := s.awaitModels(ctx); err != nil {
		return err
	}
	if err := s.askAFew(ctx, &asked); err != nil {
		return err
	}
	s.fleet.wire.Mend()
	mended := time.Now()
	if err := s.awaitHistory(ctx, asked); err != nil {
		return err
	}
	if err := s.awaitLink(ctx); err != nil {
		return err
	}
	if err := s.await(ctx, "policy version 3", func(status edge.Status) bool { return status.Policy.Version == 3 }); err != nil {
		return err
	}
	fmt.Printf("  the cable is back: policy version 3 in force and everything told after %v\n", time.Since(mended).Round(time.Millisecond))
	return s.checkHistory(asked)
}

// awaitKnown waits until the list of nodes has the words: what the broker remembers
// follows a change within seconds.
func (s *show) awaitKnown(ctx context.Context, words string) error {
	return s.await(ctx, "the list of nodes to show "+words, func(edge.Status) bool {
		list, err := s.fleet.run(ctx, "fleet", "nodes", "--broker", "tcp://"+s.fleet.broker, "--site", siteName)
		return err == nil && strings.Contains(list, words)
	})
}

// askAFew sends some tasks under names of their own.
func (s *show) askAFew(ctx context.Context, asked *[]string) error {
	for i := range 5 {
		begun := time.Now()
		out, err := s.ask(ctx, "digits", s.samples[i], localapi.InferOptions{Deadline: time.Second})
		if err != nil {
			return err
		}
		*asked = append(*asked, out.task)
		fmt.Printf("    task %s says %d, is %d, answered in %v\n", out.task, out.label, s.samples[i].label, time.Since(begun).Round(10*time.Microsecond))
	}
	return nil
}
