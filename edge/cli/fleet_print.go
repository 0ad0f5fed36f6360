package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"holdfast/edge/fleet/desk"
)

// saidLine is a message for programs.
type saidLine struct {
	At       time.Time       `json:"at"`
	Node     string          `json:"node"`
	Kind     string          `json:"kind"`
	Retained bool            `json:"retained"`
	Said     json.RawMessage `json:"said,omitempty"`    // if it is JSON
	Garbage  int             `json:"garbage,omitempty"` // its bytes, if it is not
}

// printSaid writes one line, so that a stream can be read as it grows.
func (d *door) printSaid(s desk.Said) error {
	kind := strings.TrimPrefix(string(s.Topic.Kind), "up/")
	if d.output == "json" {
		line := saidLine{At: s.At.UTC(), Node: s.Topic.Node, Kind: kind, Retained: s.Retained}
		if json.Valid(s.Payload) {
			line.Said = s.Payload
		} else {
			line.Garbage = len(s.Payload)
		}
		return json.NewEncoder(d.Stdout).Encode(line)
	}
	_, err := fmt.Fprintf(d.Stdout, "%s  %s  %s  %s\n", s.At.Local().Format("15:04:05.000"), s.Topic.Node, kind, printable(desk.Words(s)))
	return err
}

func (d *door) printDeed(deed desk.Deed) {
	if d.output == "json" {
		_ = json.NewEncoder(d.Stdout).Encode(deed) // who would be told?
		return
	}
	fmt.Fprintf(d.Stdout, "%s  %s  %s  %s\n", time.Now().Local().Format("15:04:05.000"), deed.Node, deed.What, printable(deed.Detail))
}
