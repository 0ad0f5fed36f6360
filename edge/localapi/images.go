package localapi

import (
	"encoding/json"
	"net/http"
	"time"

	"holdfast/edge"
	"holdfast/edge/oip"
)

// pullLine is one line of the answer to a pull: how far it is, and at last how it ended.
type pullLine struct {
	Done    int64          `json:"done,omitempty"`
	Total   int64          `json:"total,omitempty"`
	Image   *edge.Image    `json:"image,omitempty"`
	Fetched int64          `json:"fetched,omitempty"` // bytes that came; 0: the node had the image
	Failed  *oip.ErrorBody `json:"failed,omitempty"`
	Status  int            `json:"status,omitempty"` // that the failure would have had
}

// pullPace is how often a caller is told how far a pull is.
const pullPace = 200 * time.Millisecond

// pullImage answers POST /v1/images/pull, one JSON object a line.
func (s *Server) pullImage(w http.ResponseWriter, r *http.Request) {
	ref := r.URL.Query().Get("image")
	if ref == "" {
		s.fail(w, field("image", "is missing: name it as registry.example/path@sha256:…"))
		return
	}
	ctx, cancel := s.untilStopped(r)
	defer cancel()
	out := flusher{w, http.NewResponseController(w)}
	var last time.Time
	begun := false
	send := func(line pullLine) {
		if !begun {
			w.Header().Set("Content-Type", "application/x-ndjson")
			begun = true
		}
		text, err := json.Marshal(line)
		if err != nil || out.send(append(text, '\n')) != nil {
			cancel() // whoever asked has gone
		}
	}
	image, fetched, err := s.opts.Images.Pull(ctx, ref, func(done, total int64) {
		if now := time.Now(); now.Sub(last) >= pullPace {
			last = now
			send(pullLine{Done: done, Total: total})
		}
	})
	switch {
	case err == nil:
		send(pullLine{Image: &image, Fetched: fetched})
	case begun:
		p := problemOf(err)
		send(pullLine{Failed: &p.body, Status: p.status})
	default:
		s.fail(w, err)
	}
}

// pruneImages answers POST /v1/images/prune.
func (s *Server) pruneImages(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := s.untilStopped(r)
	defer cancel()
	done, err := s.opts.Images.Prune(ctx)
	if err != nil {
		s.fail(w, err)
		return
	}
	done.Gone = list(done.Gone)
	s.reply(w, http.StatusOK, done)
}

// Pruned is what became of the images there were.
type Pruned struct {
	Gone  []edge.Image `json:"gone"`
	Freed int64        `json:"freed"` // bytes, of content and unpacked layers together
	Kept  int          `json:"kept"`  // images that something needs
}
