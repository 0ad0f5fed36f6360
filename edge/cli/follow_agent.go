package cli

import (
	"context"
	"fmt"
	"time"

	"holdfast/edge"
	"holdfast/edge/localapi"
)

// presence follows an agent that may be restarted meanwhile.
type presence struct {
	client *localapi.Client
	say    func(format string, args ...any)
	pid    int
	began  time.Time
	pause  backoff
}

// watch notices which agent it is that answers now.
func (d *door) watch(ctx context.Context, client *localapi.Client) (*presence, error) {
	status, err := client.Status(ctx)
	if err != nil {
		return nil, err
	}
	say := func(format string, args ...any) { fmt.Fprintf(d.Stderr, "holdfast: "+format+"\n", args...) }
	return &presence{client: client, say: say, pid: status.PID, began: status.Started}, nil
}

// isBack waits, after a stream has ended, until an agent answers. again tells that it is
// another one; if not, the stream ended for a reason of its own. An error means that ctx
// ended.
func (p *presence) isBack(ctx context.Context) (again bool, err error) {
	p.pause.reset()
	for gone := false; ; {
		// The one that is ending may still answer for a moment.
		if !p.pause.wait(ctx) {
			return false, errEnough
		}
		status, err := p.client.Status(ctx)
		switch {
		case ctx.Err() != nil:
			return false, errEnough
		case err != nil && !gone:
			gone = true
			p.say("the agent has gone; waiting for it")
		case err == nil && p.isOther(status):
			p.say("an agent answers again, process %d", status.PID)
			p.pid, p.began = status.PID, status.Started
			return true, nil
		case err == nil:
			return gone, nil
		}
	}
}

func (p *presence) isOther(status edge.Status) bool {
	return status.PID != p.pid || !status.Started.Equal(p.began)
}
