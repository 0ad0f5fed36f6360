package drivertest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"holdfast/edge"
	"holdfast/runtime"
	"holdfast/runtime/drivertest"
)

// What a driver can get wrong with what serves people.
const (
	startsLate    flaw = "starts for nobody"
	execLosesCode flaw = "loses the code of a command"
	execIsMute    flaw = "loses what a command said"
	execGoesOn    flaw = "waits for a command whose time is up"
	execOutlives  flaw = "takes a command for well whose instance was killed"
	execInEnded   flaw = "runs commands in what has ended"
	execInNothing flaw = "runs commands in what is not there"
	execFreezes   flaw = "runs commands in what is halted"
	logsForget    flaw = "forgets the log with the end"
	logsAll       flaw = "gives all lines of a log"
	logsKept      flaw = "keeps the log of what was removed"
	weighsNothing flaw = "weighs what is not there"
	imagesUnknown flaw = "does not know the image of what runs"
	importsAll    flaw = "imports anything"
)

var (
	_ runtime.Execer     = (*driver)(nil)
	_ runtime.LogReader  = (*driver)(nil)
	_ runtime.Weigher    = (*driver)(nil)
	_ runtime.ImageStore = (*driver)(nil)
)

var commands = drivertest.Commands{
	Exit:  func(code int) []string { return []string{strconv.Itoa(code)} },
	Says:  []string{"0", "a word"},
	Hangs: []string{"hang"},
}

func (d *driver) Exec(ctx context.Context, id string, args []string, _ io.Reader, stdout, _ io.Writer) (edge.Exit, error) {
	p := d.find(id)
	if p == nil {
		if d.flaw == execInNothing {
			return edge.Exit{}, nil
		}
		return edge.Exit{}, fmt.Errorf("instance: %w", edge.ErrNotFound)
	}
	d.mu.Lock()
	running := p.Running
	if d.flaw != execFreezes {
		p.halted = nil
	}
	d.mu.Unlock()
	if !running && d.flaw != execInEnded {
		return edge.Exit{}, errors.New("it has ended")
	}
	if args[0] == "hang" {
		return d.hang(ctx, p)
	}
	if stdout != nil && d.flaw != execIsMute {
		fmt.Fprint(stdout, strings.Join(args[1:], " "))
	}
	code, _ := strconv.Atoi(args[0])
	if d.flaw == execLosesCode {
		code = 0
	}
	return edge.Exit{Code: uint32(code)}, nil
}

// hang is a command that goes on until it is killed.
func (d *driver) hang(ctx context.Context, p *process) (edge.Exit, error) {
	if d.flaw == execGoesOn {
		<-time.After(time.Hour)
	}
	select {
	case <-ctx.Done():
		return edge.Exit{}, ctx.Err()
	case <-p.ended:
		if d.flaw == execOutlives {
			return edge.Exit{}, nil
		}
		return edge.Exit{Code: 137, Signal: "SIGKILL"}, nil
	}
}

func (d *driver) LogTail(_ context.Context, id string, lines int) (io.ReadCloser, error) {
	p := d.find(id)
	if p == nil && d.flaw != logsKept || p != nil && !p.Running && d.flaw == logsForget {
		return nil, fmt.Errorf("log: %w", edge.ErrNotFound)
	}
	all := []string{"line 0\n", "line 1\n", "line 2\n", "line 3\n", "line 4\n"}
	if d.flaw != logsAll {
		all = all[max(0, len(all)-lines):]
	}
	return io.NopCloser(strings.NewReader(strings.Join(all, ""))), nil
}

func (d *driver) Weigh(_ context.Context, id string, _ edge.Class) error {
	if d.find(id) == nil && d.flaw != weighsNothing {
		return fmt.Errorf("instance: %w", edge.ErrNotFound)
	}
	return nil
}

func (d *driver) Images(context.Context) ([]edge.Image, error) {
	if d.flaw == imagesUnknown {
		return nil, nil
	}
	return []edge.Image{{Name: "sleep", Digest: "sha256:00"}}, nil
}

func (d *driver) Import(context.Context, io.Reader) ([]edge.Image, error) {
	if d.flaw == importsAll {
		return nil, nil
	}
	return nil, fmt.Errorf("archive: %w", edge.ErrInvalid)
}
