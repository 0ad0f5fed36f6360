package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"holdfast/mqtt/outbox"
)

// weighAndStart takes memory and starts of the node without a fleet, then with one, and
// then with as much to tell as it can keep.
func (l *linked) weighAndStart(ctx context.Context) error {
	aloneStarts, err := restarts(ctx, l.node, l.caller)
	if err != nil {
		return err
	}
	alone, err := l.weigh(ctx)
	if err != nil {
		return err
	}
	if err := l.meet(ctx); err != nil {
		return err
	}
	together, err := l.weigh(ctx)
	if err != nil {
		return err
	}
	for _, r := range []struct{ figure, of, goal string }{
		{"resident memory, 10 instances, policy and link up", "VmRSS", "≤ 24 MiB (baseline: no link)"},
		{"  of it anonymous", "RssAnon", "≤ 10 MiB"},
	} {
		row(r.figure, mebibytes(together[r.of]), mebibytes(alone[r.of]), float64(together[r.of])/float64(alone[r.of]), r.goal)
	}
	if err := l.fill(ctx); err != nil {
		return err
	}
	loaded, err := restarts(ctx, l.node, l.caller)
	if err != nil {
		return err
	}
	for _, r := range []struct {
		figure      string
		mine, other time.Duration
		goal        string
	}{
		{"start with a full backlog to first answer of the API", loaded.ready, aloneStarts.ready, "≤ 50 ms (baseline: no link)"},
		{"the same to the first answer of an adopted model", loaded.answered, aloneStarts.answered, "≤ 150 ms"},
	} {
		row(r.figure, millis(r.mine), millis(r.other), float64(r.mine)/float64(r.other), r.goal)
	}
	return nil
}

// weigh reads what the agent holds after some work, when its start is over and everything
// is told.
func (l *linked) weigh(ctx context.Context) (map[string]uint64, error) {
	if err := pause(ctx, startOver); err != nil {
		return nil, err
	}
	if err := l.ask(ctx, 500); err != nil {
		return nil, err
	}
	if l.attendant != nil {
		if err := l.awaitTold(ctx); err != nil {
			return nil, err
		}
	}
	return processStatus(l.node.AgentPID())
}

// fill ends the agent and puts records into its spool until the ring on flash is full.
func (l *linked) fill(ctx context.Context) error {
	if err := l.node.StopAgent(ctx); err != nil {
		return err
	}
	spool, err := outbox.NewSpool(outbox.SpoolOptions{Dir: filepath.Join(l.disk.path, "state", "spool"), Boot: "bench"})
	if err != nil {
		return err
	}
	if err := spool.Open(ctx); err != nil {
		return err
	}
	begun := time.Now()
	for n := 0; spool.Status().Counts.LostFull == 0; n++ {
		const most = 1 << 18 // three times what the ring takes
		if n == most {
			return fmt.Errorf("%d records do not fill the ring: %+v", n, spool.Status())
		}
		if _, err := spool.Append(taskLike(n, time.Since(begun))); err != nil {
			return err
		}
		if n%1000 == 999 {
			if err := spool.Flush(ctx); err != nil {
				return err
			}
		}
	}
	return spool.Close()
}

// taskLike is a record as the agent makes of a settled task.
func taskLike(n int, mono time.Duration) outbox.Record {
	return outbox.Record{
		Class: outbox.D1, Mono: mono, Time: time.Now(), Quality: "ntp", Kind: "task",
		Body: fmt.Appendf(nil, `{"id":"bench-%016x","model":"digits","answeredBy":"digits-lite","class":"normal",`+
			`"outcome":"answered","ageMs":412,"queueUs":38,"computeUs":291,"slackUs":99671,"estimateUs":2000}`, n),
	}
}
