package e2e_test

import (
	"context"
	"time"

	"holdfast/edge/localapi"
)

// doorWatch asks the agent again and again whether it is there.
type doorWatch struct {
	stop  context.CancelFunc
	ended chan struct{}

	asked int           // times it was
	gap   time.Duration // the longest time from one answer to the next
}

// watchDoor asks until away is called.
func (n *node) watchDoor() *doorWatch {
	ctx, stop := context.WithCancel(context.Background())
	d := &doorWatch{stop: stop, ended: make(chan struct{})}
	n.t.Cleanup(stop)
	go func() {
		defer close(d.ended)
		d.run(ctx, n.Socket())
	}()
	return d
}

func (d *doorWatch) run(ctx context.Context, socket string) {
	agent := localapi.Dial(socket)
	defer agent.Close()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for last := time.Now(); ctx.Err() == nil; <-ticker.C {
		if _, err := agent.Vitals(ctx); err != nil {
			continue
		}
		d.asked++
		d.gap = max(d.gap, time.Since(last))
		last = time.Now()
	}
}

// away is how long the agent did not answer at the longest, and how often it did.
func (d *doorWatch) away() (longest time.Duration, answers int) {
	d.stop()
	<-d.ended
	return d.gap, d.asked
}
