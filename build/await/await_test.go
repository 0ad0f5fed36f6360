package await_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/build/await"
)

// told is a test that notes how it was ended, and does not end.
type told struct {
	testing.TB
	why string
}

func (t *told) Fatalf(format string, args ...any) {
	t.why = fmt.Sprintf(format, args...)
	panic(t)
}

func TestUntil(t *testing.T) {
	t.Run("AsksAgain", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			began, asked := time.Now(), 0
			await.Until(t, time.Minute, time.Second, "the fourth", func(context.Context) error {
				if asked++; asked < 4 {
					return errors.New("not yet")
				}
				return nil
			})
			if took := time.Since(began); asked != 4 || took != 3*time.Second {
				t.Errorf("asked %d times in %v, want 4 in 3 s", asked, took)
			}
		})
	})
	t.Run("GivesUp", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			victim := &told{TB: t}
			defer func() {
				if recover() != victim || !strings.Contains(victim.why, "waited 1m0s for the moon: too far") {
					t.Errorf("got %q, want to be told of what was not so, and why", victim.why)
				}
			}()
			await.Until(victim, time.Minute, 7*time.Second, "the moon", func(context.Context) error { return errors.New("too far") })
		})
	})
}
