package desk

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"holdfast/edge"
	"holdfast/edge/trust"
	"holdfast/mqtt"
)

// confirmAll says what lies on the disk. What cannot be said now is said when the node
// shows that it has not heard: nothing is lost by it.
func (at *attendant) confirmAll(ctx context.Context) {
	for id := range at.due {
		if at.session.State().Phase != mqtt.Up {
			return
		}
		delete(at.due, id)
		seq, err := at.history.through(id)
		if err != nil || seq == 0 {
			continue
		}
		if err := at.confirm(ctx, id, seq); err != nil {
			at.desk.options.Log.Warn("confirmation not sent", "node", id.node, "err", err)
		}
	}
}

func (at *attendant) confirm(ctx context.Context, id streamID, seq uint64) error {
	payload, err := trust.EncodeConfirmation(edge.Confirmation{Node: id.node, Epoch: id.epoch, Seq: seq})
	if err != nil {
		return err
	}
	envelope, err := trust.Sign(trust.TypeConfirmation, payload, at.Freshness)
	if err != nil {
		return err
	}
	at.tell(id.node, "confirmed", fmt.Sprintf("%s through %d", id.epoch, seq))
	return at.send(ctx, mqtt.Message{Topic: at.desk.topic(id.node, mqtt.DownAck), Payload: envelope})
}

// send gives a message to the link. That there is none is no error: the node says
// hello again.
func (at *attendant) send(ctx context.Context, m mqtt.Message) error {
	var err error
	if at.ending {
		err = at.session.Publish(ctx, m)
	} else {
		err = at.session.Send(ctx, m, func(error) {})
	}
	if errors.Is(err, mqtt.ErrDown) {
		return nil
	}
	return err
}

func (at *attendant) tell(node, what, detail string) {
	if at.Tell != nil {
		at.Tell(Deed{node, what, detail})
	}
}

// isEpoch tells whether text may name a file of history.
func isEpoch(text string) bool {
	raw, err := hex.DecodeString(text)
	return err == nil && len(raw) == 8
}
