package localapi

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"holdfast/edge"
	"holdfast/edge/oip"
)

// firstRead is the buffer a body begins with unless it says that it is smaller.
// Larger ones double as they fill, so that claiming a length costs nothing here.
const firstRead = 64 << 10

// budget bounds the bytes of all bodies held at once.
type budget struct{ left atomic.Int64 }

func (b *budget) take(n int64) bool {
	if b.left.Add(-n) < 0 {
		b.left.Add(n)
		return false
	}
	return true
}

// intake is one request's body on its way in, and its share of the budget until
// its answer is written.
type intake struct {
	budget *budget
	held   int64
	body   []byte
}

// release gives back what the body held.
func (in *intake) release() {
	in.budget.left.Add(in.held)
	in.held = 0
}

// hold takes more of the budget, for as long as the request is inside.
func (in *intake) hold(more int64) error {
	if !in.budget.take(more) {
		return problem{status: http.StatusServiceUnavailable, retry: time.Second, hangUp: true, body: oip.ErrorBody{
			Error: "the node holds as many bytes of requests and answers as it may", Reason: reasonBusy,
		}}
	}
	in.held += more
	return nil
}

// grow makes room for more, within the budget.
func (in *intake) grow(to int64) error {
	if err := in.hold(to - in.held); err != nil {
		return err
	}
	larger := make([]byte, len(in.body), to)
	copy(larger, in.body)
	in.body = larger
	return nil
}

// readBody reads the body of a request into one buffer until it ends, limit is
// passed, or the time is up.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request, in *intake, until time.Time) error {
	if r.ContentLength > s.opts.MaxBody {
		return tooLarge(s.opts.MaxBody)
	}
	readUntil(w, until)
	return in.read(r.Body, r.ContentLength, s.opts.MaxBody)
}

// readUntil bounds the reading of a request's body. net/http lifts the bound when
// the body has been read, as it begins to watch for a caller who leaves.
func readUntil(w http.ResponseWriter, until time.Time) {
	// Every connection of ours can; were it not so, the caller's deadline would
	// still be kept, only the slow sender not be cut.
	_ = http.NewResponseController(w).SetReadDeadline(until)
}

// read fills the buffer. length is -1 when the caller has not said it.
func (in *intake) read(body io.Reader, length, limit int64) error {
	most := limit + 1 // one more byte tells that there is too much
	if length >= 0 {
		most = length
	}
	if err := in.grow(min(most, firstRead)); err != nil {
		return err
	}
	for {
		if len(in.body) == cap(in.body) {
			if int64(len(in.body)) == most {
				break
			}
			if err := in.grow(min(2*int64(cap(in.body)), most)); err != nil {
				return err
			}
		}
		n, err := body.Read(in.body[len(in.body):cap(in.body)])
		in.body = in.body[:len(in.body)+n]
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return bodyProblem(err, len(in.body))
		}
	}
	if int64(len(in.body)) > limit {
		return tooLarge(limit)
	}
	return nil
}

func tooLarge(limit int64) error {
	return problem{status: http.StatusRequestEntityTooLarge, hangUp: true, body: oip.ErrorBody{
		Error:  fmt.Sprintf("the body is larger than %d bytes", limit),
		Reason: reasonTooLarge,
		Hint:   "send fewer inputs at once, send tensors as raw bytes (" + oip.HeaderLengthField + "), or raise api.maxBody",
	}}
}

// bodyProblem says why a body ended too early.
func bodyProblem(err error, got int) error {
	p := problem{status: http.StatusBadRequest, hangUp: true, body: oip.ErrorBody{
		Error: fmt.Sprintf("the body broke off after %d bytes: %v", got, err), Reason: reasonInvalid,
	}}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		p.status, p.body.Reason = http.StatusRequestTimeout, reasonTooSlow
		p.body.Error = fmt.Sprintf("the body took too long: %d bytes had come", got)
	}
	return p
}

// lateBody says the same to a caller whose own deadline passed meanwhile.
func lateBody(err error, arrived time.Time, deadline time.Duration) error {
	var p problem
	if !errors.As(err, &p) || p.body.Reason != reasonTooSlow || deadline <= 0 || time.Since(arrived) < deadline {
		return err
	}
	late := problemOf(&edge.Refusal{
		Reason: edge.ReasonDeadlinePassed,
		Detail: fmt.Sprintf("the deadline of %v passed while the body was arriving", deadline),
	})
	late.hangUp = true
	return late
}
