package localapi

import (
	"net/http"

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

// pullImage answers POST /v1/images/pull, one JSON object a line.
func (s *Server) pullImage(w http.ResponseWriter, r *http.Request) {
	ref := r.URL.Query().Get("image")
	if ref == "" {
		s.fail(w, field("image", "is missing: name it as registry.example/path@sha256:…"))
		return
	}
	ctx, cancel := s.untilStopped(r)
	defer cancel()
	lines := progressLines{s: s, w: w, cancel: cancel}
	image, fetched, err := s.opts.Images.Pull(ctx, ref, func(done, total int64) {
		if lines.due() {
			lines.send(pullLine{Done: done, Total: total})
		}
	})
	if err != nil {
		lines.fail(err, func(p problem) any { return pullLine{Failed: &p.body, Status: p.status} })
		return
	}
	lines.send(pullLine{Image: &image, Fetched: fetched})
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
