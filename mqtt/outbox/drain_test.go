package outbox_test

import (
	"bytes"
	"fmt"
	"testing"

	"golang.org/x/sync/errgroup"

	"holdfast/mqtt/outbox"
)

// TestSpool_Drain has one who appends, one who drains, and the disk between them, all
// at once: every number arrives once, in order.
func TestSpool_Drain(t *testing.T) {
	const records = 8000
	spool, stop := start(t, small(newMemDisk()))
	var group errgroup.Group
	group.Go(func() error {
		for tag := range uint64(records) {
			if _, err := spool.Append(record(outbox.Class(tag%3/2), tag, 600)); err != nil {
				return err
			}
		}
		return nil
	})
	told := uint64(0)
	group.Go(func() error {
		for at := (outbox.Position{}); at.Seq < records; {
			changed := spool.Changed()
			batch, err := spool.Read(at, 20)
			if err != nil {
				return err
			}
			for _, e := range batch.Entries {
				if e.Gap != nil && e.Gap.From == at.Seq+1 {
					told += e.Gap.Count
				} else if e.Seq != at.Seq+1 || !bytes.Equal(e.Body, record(0, at.Seq, 600).Body) {
					return fmt.Errorf("behind %d follows %d (%+v)", at.Seq, e.Seq, e.Gap)
				}
				at = outbox.Position{Epoch: batch.Epoch, Seq: e.Seq}
			}
			if len(batch.Entries) == 0 {
				<-changed
				continue
			}
			if at.Seq%3 > 0 {
				spool.Ack(at)
			}
		}
		return nil
	})
	must(t, group.Wait())
	stop()
	status := spool.Status()
	if lost := status.Counts.LostMemory + status.Counts.LostFull; told > lost {
		t.Errorf("%d records are told to be missing, %d were lost", told, lost)
	}
	must(t, spool.Close())
}
