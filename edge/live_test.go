package edge_test

import (
	"context"
	"encoding/json"
	"testing"

	"holdfast/edge"
)

func TestSlot_JSON(t *testing.T) {
	for want, slot := range map[string]edge.Slot{
		`{"slot":0}`:    edge.SlotAt(0),
		`{"slot":4095}`: edge.SlotAt(4095),
		`{}`:            0,
	} {
		in := struct {
			Slot edge.Slot `json:"slot,omitzero"`
		}{slot}
		text, err := json.Marshal(in)
		if err != nil || string(text) != want {
			t.Errorf("got %s, %v, want %s", text, err, want)
		}
		out := in
		out.Slot = 99
		if err := json.Unmarshal(text, &out); err != nil || slot != 0 && out != in {
			t.Errorf("%s: got %+v, %v", want, out, err)
		}
	}
	var slot edge.Slot
	for _, bad := range []string{`-1`, `"x"`, `1.5`, `99999999999999`} {
		if err := json.Unmarshal([]byte(bad), &slot); err == nil {
			t.Errorf("%s: got %v, want an error", bad, slot)
		}
	}
	if _, in := slot.Number(); in {
		t.Error("no slot has a number")
	}
}

func TestCallerOf(t *testing.T) {
	if got := edge.CallerOf(context.Background()); got != "" {
		t.Errorf("got %q of nobody", got)
	}
	if got := edge.CallerOf(edge.WithCaller(context.Background(), "local API, uid 0")); got != "local API, uid 0" {
		t.Errorf("got %q", got)
	}
}
