// Package await is the one way in which tests from outside wait: they ask again and again.
//
// # Promise
//
// Until returns when what was asked for is so, and ends the test, with the latest reason why
// it is not, when that takes too long. It goes on where a test's own context has ended, as
// it has while the test cleans up.
package await

import (
	"context"
	"testing"
	"time"
)

// Until asks every so often, within so long, until there is no error any more.
func Until(t testing.TB, within, every time.Duration, what string, ask func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	again := time.NewTicker(every)
	defer again.Stop()
	for {
		err := ask(ctx)
		if err == nil {
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatalf("waited %v for %s: %v", within, what, err)
		}
	}
}
