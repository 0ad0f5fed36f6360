package agent

import (
	"testing"

	"holdfast/edge"
)

func TestBegun(t *testing.T) {
	t.Run("OfNobody", func(t *testing.T) {
		seen := map[edge.TraceID]bool{}
		for range 1000 {
			trace := begun(edge.Trace{}, 0)
			if trace.ID.IsZero() || trace.Span == (edge.SpanID{}) || trace.Parent != (edge.SpanID{}) || trace.Sampled || seen[trace.ID] {
				t.Fatalf("it is %+v, seen before: %t", trace, seen[trace.ID])
			}
			seen[trace.ID] = true
		}
	})
	t.Run("OfItsCaller", func(t *testing.T) {
		given, _ := edge.ParseTrace("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", "a=1")
		got := begun(given, 1)
		if got.Sampled || got.Span == given.Parent || got.Span == (edge.SpanID{}) {
			t.Errorf("it is %+v; its caller has decided", got)
		}
		got.Span = edge.SpanID{}
		if got != given {
			t.Errorf("it is %+v, want %+v", got, given)
		}
	})
	t.Run("Share", func(t *testing.T) {
		sampled := 0
		for range 4000 {
			if begun(edge.Trace{}, 0.25).Sampled {
				sampled++
			}
		}
		if sampled < 800 || sampled > 1200 {
			t.Errorf("%d of 4000 are sampled, want a quarter", sampled)
		}
	})
}

func BenchmarkBegun(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		begun(edge.Trace{}, 0.01)
	}
}
