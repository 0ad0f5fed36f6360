package runtime

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"holdfast/edge"
)

// errNoAnswer: the instance could not be asked, which says nothing of it.
var errNoAnswer = errors.New("it could not be asked")

// put asks once, in the way the probe says.
func (q *question) put(ctx context.Context) error {
	p := q.tally.probe
	within, cancel := context.WithTimeout(ctx, p.Within())
	defer cancel()
	var err error
	switch {
	case len(p.Exec) > 0:
		err = q.putExec(within)
	case p.Port == 0:
		return q.putServer()
	default:
		err = q.putPort(within)
	}
	if err != nil && (errors.Is(within.Err(), context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)) {
		return fmt.Errorf("no answer within %v", p.Within())
	}
	return err
}

// putExec runs the command. That the daemon is away, or the instance gone, is not the
// command's failure.
func (q *question) putExec(ctx context.Context) error {
	execer, can := q.s.opts.Driver.(Execer)
	if !can {
		return errors.New("the driver cannot run commands")
	}
	said := &saying{}
	exit, err := execer.Exec(ctx, q.inst.ID, q.tally.probe.Exec, nil, said, said)
	switch {
	case errors.Is(err, edge.ErrUnavailable), errors.Is(err, edge.ErrNotFound):
		return errNoAnswer
	case err != nil:
		return err
	case exit.Code != 0 || exit.Signal != "":
		return fmt.Errorf("%s%s", exit, said)
	}
	return nil
}

// putServer asks a model server at its socket, on a lane as its prober does.
func (q *question) putServer() error {
	if q.ep == nil {
		return errors.New("it has no socket to be asked at")
	}
	lane := q.ep.pool.tryLane(q.ep, time.Now())
	if lane == nil {
		return errNoAnswer // it works
	}
	defer q.ep.pool.release(q.ep, lane, outcomeNone)
	answer, failure := lane.do(request{method: http.MethodGet, path: q.tally.probe.HTTP, limit: maxMetadata}, q.tally.probe.Within())
	switch {
	case failure != nil && failure.kind == wireHung:
		return fmt.Errorf("no answer within %v", q.tally.probe.Within())
	case failure != nil:
		return errors.New(whyUnready(failure))
	}
	return judgeStatus(answer.status)
}

// putPort connects to a port of the instance, and asks there by HTTP if a path is given.
func (q *question) putPort(ctx context.Context) error {
	conn, err := q.s.opts.DialPort(ctx, q.inst, q.tally.probe.Port)
	if err != nil {
		return err
	}
	defer conn.Close()
	if q.tally.probe.HTTP == "" {
		return nil
	}
	if until, bounded := ctx.Deadline(); bounded {
		if err := conn.SetDeadline(until); err != nil {
			return err
		}
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() }) // the agent ends
	defer stop()
	_, err = io.WriteString(conn, "GET "+q.tally.probe.HTTP+" HTTP/1.1\r\nHost: localhost\r\nUser-Agent: holdfast\r\nConnection: close\r\n\r\n")
	if err != nil {
		return err
	}
	response, err := http.ReadResponse(bufio.NewReader(io.LimitReader(conn, maxHead)), nil)
	if err != nil {
		return fmt.Errorf("not an HTTP response: %w", err)
	}
	defer response.Body.Close()
	return judgeStatus(response.StatusCode)
}

func judgeStatus(status int) error {
	if status < 200 || status > 399 {
		return fmt.Errorf("answers %d", status)
	}
	return nil
}

// saying keeps the beginning of what a command says, for whoever reads why it failed.
// Both of its streams write to it.
type saying struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (s *saying) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.Write(p[:min(len(p), max(0, maxMessage-s.text.Len()))])
	return len(p), nil
}

// String is ready to be appended.
func (s *saying) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := strings.TrimSpace(strings.ToValidUTF8(s.text.String(), "?"))
	if text == "" {
		return ""
	}
	return ": " + text
}
