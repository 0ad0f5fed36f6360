package localapi

import (
	"encoding/json"
	"net/http"
	"time"
)

// progressPace is how often a caller is told how far something is.
const progressPace = 200 * time.Millisecond

// progressLines are an answer of JSON objects, one a line, that begins with the first of them:
// until then a failure has its own status.
type progressLines struct {
	s      *Server
	w      http.ResponseWriter
	cancel func() // of what is told about; whoever asked may go
	begun  bool
	last   time.Time
}

// due tells whether it is time to say again how far it is.
func (p *progressLines) due() bool {
	now := time.Now()
	if now.Sub(p.last) < progressPace {
		return false
	}
	p.last = now
	return true
}

func (p *progressLines) send(line any) {
	if !p.begun {
		p.w.Header().Set("Content-Type", "application/x-ndjson")
		p.begun = true
	}
	text, err := json.Marshal(line)
	if err != nil || (flusher{p.w, http.NewResponseController(p.w)}).send(append(text, '\n')) != nil {
		p.cancel()
	}
}

// fail says that it failed: in a line of its own once lines were sent.
func (p *progressLines) fail(err error, line func(problem) any) {
	if !p.begun {
		p.s.fail(p.w, err)
		return
	}
	p.send(line(problemOf(err)))
}
