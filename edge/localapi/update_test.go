package localapi_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"holdfast/edge"
)

func TestClient_Update(t *testing.T) {
	n := newNode()
	r := start(t, n)
	n.update = func(folder string, told func(edge.Progress)) (edge.AgentUpdate, error) {
		told(edge.Progress{Done: 1, Total: 2, Unit: "bytes"})
		told(edge.Progress{Note: "trying it"})
		return edge.AgentUpdate{Version: folder, Leaving: true}, nil
	}
	t.Run("LeavesOnceAnswered", func(t *testing.T) {
		var heard []edge.Progress
		left := make(chan struct{})
		n.leaving = func() { close(left) }
		to, err := r.client(t).Update(t.Context(), "/media/stick", true, func(p edge.Progress) { heard = append(heard, p) })
		if err != nil || to.Version != "/media/stick" || !to.Leaving || len(heard) != 2 || heard[1].Note != "trying it" {
			t.Errorf("got %+v, %v after %+v", to, err, heard)
		}
		<-left
		if did := n.deeds(); !strings.Contains(did, "update again=true") {
			t.Errorf("the node was asked %q", did)
		}
	})
	t.Run("NotByThePort", func(t *testing.T) {
		if _, err := r.port(t).Update(t.Context(), "/media/stick", false, nil); err == nil {
			t.Error("the port updates the agent, want a refusal")
		}
	})
	t.Run("NoFolder", func(t *testing.T) {
		r.send(t, http.MethodPost, "/v1/update", nil).want(t, 400, "invalid_request", "folder", "is missing")
	})
	t.Run("AgainIsNoWord", func(t *testing.T) {
		r.send(t, http.MethodPost, "/v1/update?folder=/media/stick&again=maybe", nil).want(t, 400, "invalid_request", "again", "true or false")
	})
	for name, progress := range map[string]bool{"Refused": false, "RefusedLater": true} {
		t.Run(name, func(t *testing.T) {
			n.update = func(_ string, told func(edge.Progress)) (edge.AgentUpdate, error) {
				if progress {
					told(edge.Progress{Done: 1, Total: 2})
				}
				return edge.AgentUpdate{}, edge.WithHint(fmt.Errorf("it was left: %w", edge.ErrInvalid), "another one")
			}
			_, err := r.client(t).Update(t.Context(), "/media/stick", false, nil)
			if !errors.Is(err, edge.ErrInvalid) || edge.HintOf(err) != "another one" {
				t.Errorf("got %v with the hint %q", err, edge.HintOf(err))
			}
		})
	}
}
