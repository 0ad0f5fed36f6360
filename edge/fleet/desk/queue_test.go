package desk_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"holdfast/edge/fleet/desk"
	"holdfast/mqtt"
)

// TestQueue_Put: however much comes and however slow the disk is, what is in hand stays
// within its bound, all of it comes out in order, and nobody waits for ever.
func TestQueue_Put(t *testing.T) {
	for name, c := range map[string]struct {
		size  int
		count uint64
	}{"Large": {96 << 10, 500}, "Small": {300, 5000}, "LargerThanAll": {desk.MaxHeld + 1, 5}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := desk.NewQueue()
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					for i := range c.count {
						payload := make([]byte, c.size)
						binary.BigEndian.PutUint64(payload, i)
						q.Put(t.Context(), payload, nil)
					}
				}()
				for next := uint64(0); next < c.count; {
					synctest.Wait() // until no more fits
					if held := q.Held(); held > max(desk.MaxHeld, int64(c.size)) {
						t.Fatalf("%d bytes are held, want at most %d", held, desk.MaxHeld)
					}
					taken := int64(0)
					for got, _ := q.Take(); got != nil; got, _ = q.Take() {
						if seq := binary.BigEndian.Uint64(got); seq != next {
							t.Fatalf("took %d, want %d", seq, next)
						}
						next++
						taken += int64(len(got))
					}
					q.Settle(taken)
				}
				<-ended
				if held := q.Held(); held != 0 {
					t.Errorf("%d bytes are held at the end, want none", held)
				}
			})
		})
	}
	t.Run("ConnectionEnds", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			q := desk.NewQueue()
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				for ctx.Err() == nil {
					q.Put(ctx, make([]byte, 1<<20), nil)
				}
			}()
			synctest.Wait()
			cancel()
			synctest.Wait()
			for got, _ := q.Take(); got != nil; got, _ = q.Take() {
				q.Settle(int64(len(got)))
			}
			if held := q.Held(); held != 0 {
				t.Errorf("%d bytes are held for what was not handed over, want none", held)
			}
		})
	})
}

// TestDesk_Attend_Flood: history that comes faster than it is dealt with waits with the
// broker, and all of it is kept.
func TestDesk_Attend_Flood(t *testing.T) {
	const entries = 700
	address := embedded(t)
	at := newAttendance(t, address)
	still, open := make(chan struct{}, 1), make(chan struct{})
	at.a.Tell = func(d desk.Deed) {
		if d.What == "fresh" {
			select {
			case still <- struct{}{}:
			default:
			}
			<-open
		}
	}
	stop := at.start()
	n := startNode(t, address, "gw-1", nil)
	n.birth("")
	eventually(t, "the attendance stands still", func() bool {
		n.hello(`,"policyVersion":9`)
		return len(still) > 0
	})
	body := fmt.Sprintf(`{"kind":"x","facts":{"x":%q}}`, strings.Repeat("x", 48<<10))
	for seq := range uint64(entries) {
		n.say(mqtt.UpEvent, n.envelope(seq+1, "event", body))
	}
	close(open)
	at.confirmed(n, entries)
	if err := stop(); err != nil {
		t.Errorf("Attend = %v, want nil", err)
	}
	if got := len(lines(t, at.path, "gw-1")); got != entries {
		t.Errorf("%d lines are kept, want %d", got, entries)
	}
}
