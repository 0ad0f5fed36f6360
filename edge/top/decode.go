package top

import (
	"encoding/json"
	"fmt"

	"holdfast/edge"
)

// Decode reads a message of an agent's live stream by its kind; nil for a kind that it does
// not know, which a newer agent may send.
func Decode(kind string, data []byte) (Message, error) {
	switch kind {
	case "hello":
		return decode[edge.LiveHello](kind, data)
	case "history":
		return decode[History](kind, data)
	case "sample":
		return decode[edge.Sample](kind, data)
	case "status":
		return decode[edge.Status](kind, data)
	case "tasks":
		return decode[edge.LiveTasks](kind, data)
	case "event":
		return decode[edge.Event](kind, data)
	}
	return nil, nil
}

func decode[T any](kind string, data []byte) (Message, error) {
	var m T
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("cannot read %s of the agent's live stream: %w: %w", kind, edge.ErrInvalid, err)
	}
	return m, nil
}
