package localapi_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"holdfast/edge"
	"holdfast/edge/localapi"
)

// Large answers count against the bytes in flight while they are written.
func TestServer_Infer_LargeAnswer(t *testing.T) {
	const values = 100_000
	large := fmt.Sprintf(`{"model_name":"digits","outputs":[{"name":"sum","shape":[%d],"datatype":"INT64","data":[1%s]}]}`,
		values, strings.Repeat(",1", values-1))
	n := newNode()
	n.infer = func(_ context.Context, task edge.Task) edge.Settlement {
		return completed(task, edge.Payload{Body: []byte(large)})
	}
	for name, c := range map[string]struct {
		inFlight int64
		want     int
	}{
		"Fits":    {int64(2 * len(large)), http.StatusOK},
		"TooMuch": {int64(len(large)) / 2, http.StatusServiceUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, n, func(o *localapi.Options) { o.MaxBody, o.MaxInFlight = int64(len(question)), c.inFlight })
			for range 3 { // what one held is given back for the next
				if got := r.post(t, inferPath, question); got.status != c.want {
					t.Errorf("got %d: %.80s, want %d", got.status, got.body, c.want)
				}
			}
		})
	}
}
