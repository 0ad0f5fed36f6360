package localapi

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"holdfast/edge"
	"holdfast/edge/oip"
)

// liveStream answers GET /v1/live.
func (s *Server) liveStream(w http.ResponseWriter, r *http.Request) {
	after, err := lastEvent(r)
	if err != nil {
		s.fail(w, err)
		return
	}
	_, onSocket := r.Context().Value(peerKey{}).(*peer)
	reader, free := s.feed.join(after, !onSocket)
	if !free {
		s.fail(w, problem{status: http.StatusServiceUnavailable, retry: time.Second, body: oip.ErrorBody{
			Error: "as many live streams are read already as may be", Reason: reasonStreams,
			Hint: "close one: a page or a holdfast top that is left open somewhere",
		}})
		return
	}
	defer s.feed.leave(reader)
	ctx, cancel := s.untilStopped(r)
	defer cancel()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	out := flusher{w, http.NewResponseController(w)}
	for {
		select {
		case frame := <-reader.frames:
			if out.send(frame) != nil {
				return
			}
		case <-reader.lost:
			panic(http.ErrAbortHandler) // it has missed something: let it see a broken end, and come again
		case <-ctx.Done():
			return
		}
	}
}

// lastEvent is the event that a reader who comes back has got.
func lastEvent(r *http.Request) (uint64, error) {
	text := r.Header.Get("Last-Event-ID")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, field("Last-Event-ID", "must be the id of an event, not %.40q", text)
	}
	return n, nil
}

// frame is some messages of a stream, as they travel.
type frame []byte

// add puts a message in.
func (f *frame) add(kind string, v any) { f.put("event: "+kind+"\n", v) }

// addEvents puts events in, each with its number.
func (f *frame) addEvents(events []edge.Event) {
	for _, e := range events {
		f.put("event: event\nid: "+strconv.FormatUint(e.Seq, 10)+"\n", e)
	}
}

// put writes a head and a value. The value is one line, whatever is in it: JSON keeps line
// ends in texts as \n.
func (f *frame) put(head string, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		*f = append(append(*f, ": cannot encode: "...), strings.ReplaceAll(err.Error(), "\n", " ")+"\n\n"...)
		return // a figure that is no number, say: the rest is as good as ever
	}
	*f = append(append(*f, head...), "data: "...)
	*f = append(append(*f, bytes.TrimSpace(text)...), "\n\n"...)
}

// alive puts in a line that says nothing.
func (f *frame) alive() { *f = append(*f, ":\n\n"...) }

// listed has empty lists where there is nothing, which readers need not tell from null.
func listed(tasks edge.LiveTasks) edge.LiveTasks {
	tasks.Running, tasks.Waiting, tasks.Ended = list(tasks.Running), list(tasks.Waiting), list(tasks.Ended)
	return tasks
}
