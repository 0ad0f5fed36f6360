package agent

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
)

// recorder notes the order in which services end.
type recorder struct {
	mu    sync.Mutex
	ended []string
}

func (r *recorder) service(name string, early error, started chan<- struct{}) service {
	return service{name, func(ctx context.Context) error {
		if started != nil {
			started <- struct{}{}
		}
		if early == nil {
			<-ctx.Done()
		}
		r.mu.Lock()
		r.ended = append(r.ended, name)
		r.mu.Unlock()
		return early
	}}
}

func TestRunServices(t *testing.T) {
	t.Run("StopsInReverse", func(t *testing.T) {
		r, started := &recorder{}, make(chan struct{}, 3)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			for range 3 {
				<-started
			}
			cancel()
		}()
		err := runServices(ctx, []service{
			r.service("a", nil, started), r.service("b", nil, started), r.service("c", nil, started),
		})
		if err != nil {
			t.Errorf("err = %v, want none", err)
		}
		if want := []string{"c", "b", "a"}; !slices.Equal(r.ended, want) {
			t.Errorf("ended %v, want %v", r.ended, want)
		}
	})
	t.Run("OneThatFailsEndsAll", func(t *testing.T) {
		r, broken := &recorder{}, errors.New("broken")
		err := runServices(t.Context(), []service{r.service("a", nil, nil), r.service("b", broken, nil)})
		if !errors.Is(err, broken) {
			t.Errorf("err = %v, want %v", err, broken)
		}
		if want := []string{"b", "a"}; !slices.Equal(r.ended, want) {
			t.Errorf("ended %v, want %v", r.ended, want)
		}
	})
}
