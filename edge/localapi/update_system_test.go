package localapi_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"holdfast/edge"
)

func TestClient_UpdateSystem(t *testing.T) {
	n := newNode()
	r := start(t, n)
	wanted := edge.SystemPolicy{Bundle: "/media/stick/b.raucb", Version: "7", Restart: edge.RestartLater}
	t.Run("LeavesOnceAnswered", func(t *testing.T) {
		var heard []edge.Progress
		left := make(chan struct{})
		n.leaving = func() { close(left) }
		n.updateSystem = func(wanted edge.SystemPolicy, told func(edge.Progress)) (edge.SystemUpdate, error) {
			told(edge.Progress{Done: 40, Total: 100, Unit: "percent", Note: "Verifying signature done."})
			return edge.SystemUpdate{Version: wanted.Version, Slot: "B", Restarting: true}, nil
		}
		to, err := r.client(t).UpdateSystem(t.Context(), wanted, true, func(p edge.Progress) { heard = append(heard, p) })
		if err != nil || to != (edge.SystemUpdate{Version: "7", Slot: "B", Restarting: true}) || len(heard) != 1 || heard[0].Done != 40 {
			t.Errorf("got %+v, %v after %+v", to, err, heard)
		}
		<-left
		if did, want := n.deeds(), fmt.Sprint("update-system ", wanted, " again=true"); !strings.Contains(did, want) {
			t.Errorf("the node was asked %q, want %q", did, want)
		}
	})
	t.Run("NotByThePort", func(t *testing.T) {
		if _, err := r.port(t).UpdateSystem(t.Context(), wanted, false, nil); err == nil {
			t.Error("the port updates the system, want a refusal")
		}
	})
	t.Run("NoBundle", func(t *testing.T) {
		r.send(t, http.MethodPost, "/v1/update-system", nil).want(t, 400, "invalid_request", "bundle", "is missing")
	})
	t.Run("AgainIsNoWord", func(t *testing.T) {
		r.send(t, http.MethodPost, "/v1/update-system?bundle=/b&again=maybe", nil).want(t, 400, "invalid_request", "again", "true or false")
	})
	t.Run("Refused", func(t *testing.T) {
		n.updateSystem = func(_ edge.SystemPolicy, told func(edge.Progress)) (edge.SystemUpdate, error) {
			told(edge.Progress{Done: 1, Total: 2})
			return edge.SystemUpdate{}, edge.WithHint(fmt.Errorf("signature verification failed: %w", edge.ErrInvalid), "another one")
		}
		_, err := r.client(t).UpdateSystem(t.Context(), wanted, false, nil)
		if !errors.Is(err, edge.ErrInvalid) || edge.HintOf(err) != "another one" {
			t.Errorf("got %v with the hint %q", err, edge.HintOf(err))
		}
	})
}
