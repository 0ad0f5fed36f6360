package localapi_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"holdfast/edge"
)

func TestClient_PullImage(t *testing.T) {
	n := newNode()
	c := start(t, n).client(t)
	var told []string
	note := func(done, total int64) { told = append(told, fmt.Sprint(done, "/", total)) }
	n.pulling = func(_ context.Context, ref string, told func(done, total int64)) (edge.Image, int64, error) {
		told(3, 9)
		told(9, 9) // too soon after the first to be worth a line
		return edge.Image{Name: ref}, 9, nil
	}
	image, fetched, err := c.PullImage(t.Context(), "a/b@c", note)
	if err != nil || image.Name != "a/b@c" || fetched != 9 || !slices.Equal(told, []string{"3/9"}) {
		t.Errorf("got %+v, %d bytes, %v, told %q", image, fetched, err, told)
	}
	for name, begun := range map[string]bool{"AtOnce": false, "OnTheWay": true} {
		t.Run(name, func(t *testing.T) {
			n.pulling = func(_ context.Context, _ string, told func(done, total int64)) (edge.Image, int64, error) {
				if begun {
					told(1, 2)
				}
				return edge.Image{}, 0, edge.WithHint(fmt.Errorf("cannot: %w", edge.ErrNoRoom), "make room")
			}
			_, _, err := c.PullImage(t.Context(), "a", nil)
			if !errors.Is(err, edge.ErrNoRoom) || edge.HintOf(err) != "make room" {
				t.Errorf("got %v with hint %q", err, edge.HintOf(err))
			}
		})
	}
	t.Run("GivenUp", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		n.pulling = func(ctx context.Context, _ string, told func(done, total int64)) (edge.Image, int64, error) {
			defer close(ended)
			told(1, 2)
			cancel()
			<-ctx.Done()
			return edge.Image{}, 0, ctx.Err()
		}
		if _, _, err := c.PullImage(ctx, "a", nil); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
		<-ended
	})
	t.Run("NoName", func(t *testing.T) {
		if _, _, err := c.PullImage(t.Context(), "", nil); !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("got %v, want %v", err, edge.ErrInvalid)
		}
	})
}

func TestClient_PruneImages(t *testing.T) {
	c := start(t, newNode()).client(t)
	done, err := c.PruneImages(t.Context())
	if err != nil || done.Freed != 7 || done.Kept != 2 || len(done.Gone) != 1 {
		t.Errorf("got %+v, %v", done, err)
	}
}
