package runtime_test

import (
	"errors"
	"slices"
	"testing"

	"holdfast/edge"
	"holdfast/runtime/fake"
)

// classed is a task of a class.
func classed(id string, class edge.Class) edge.Task {
	t := numbered(id)
	t.Class = class
	return t
}

// wantWeighed wants the classes that the driver was told, in order.
func (h *house) wantWeighed(want ...edge.Class) {
	h.t.Helper()
	var got []edge.Class
	for _, w := range h.driver.Weighed() {
		got = append(got, w.Class)
	}
	if !slices.Equal(got, want) {
		h.t.Errorf("weighed: got %v, want %v", got, want)
	}
}

func TestSupervisor_Weigh(t *testing.T) {
	t.Run("OnlyWhenTheClassChanges", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h, _ := suspending(t, d, nil)
			for _, class := range []edge.Class{edge.Urgent, edge.Urgent, edge.Batch, edge.Batch, edge.Normal, edge.Urgent} {
				if got := <-h.execute(classed("one", class)); got.err != nil {
					t.Fatal(got.err)
				}
			}
			h.wantWeighed(edge.Urgent, edge.Batch, edge.Normal, edge.Urgent)
		})
	})
	t.Run("MostPressingOfSeveral", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h, _ := suspending(t, d, func(s *edge.Serve) { s.Concurrency = 3 })
			batch := h.execute(classed("batch", edge.Batch))
			settle(500e6)
			urgent := h.execute(classed("urgent", edge.Urgent))
			normal := h.execute(classed("normal", edge.Normal))
			<-batch
			h.wantWeighed(edge.Batch, edge.Urgent)
			<-urgent
			<-normal
			// The urgent one may have ended first, and then what is left counts.
			if got := h.driver.Weighed(); len(got) > 3 || len(got) == 3 && got[2].Class != edge.Normal {
				t.Errorf("got %v", got)
			}
		})
	})
	t.Run("Less", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h, _ := suspending(t, d, func(s *edge.Serve) { s.Concurrency = 2 })
			urgent := h.execute(classed("urgent", edge.Urgent))
			settle(500e6)
			batch := h.execute(classed("batch", edge.Batch))
			<-urgent
			h.wantWeighed(edge.Urgent, edge.Batch)
			<-batch
		})
	})
	t.Run("Refused", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			d.WeighError = func(string) error { return errors.New("no such controller") }
			h, _ := suspending(t, d, nil)
			for range 2 {
				if got := <-h.execute(classed("one", edge.Urgent)); got.err != nil {
					t.Fatal(got.err)
				}
			}
			h.wantWeighed(edge.Urgent) // that is not worth a try for each task
			h.wantNoWarnings()
		})
	})
}
