package runtime

import (
	"bufio"
	"net/http"
	"strings"
	"testing"

	"holdfast/edge"
)

func TestAppendHead_Trace(t *testing.T) {
	trace, _ := edge.ParseTrace("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=1,b=2")
	trace.Span = edge.SpanID{1, 2, 3, 4, 5, 6, 7, 8}
	for _, length := range []int{0, 3} {
		head := appendHead(nil, request{path: "/x", body: []byte("body"), headerLength: length, trace: &trace})
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(string(head) + "body")))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := r.Header.Get("traceparent"), "00-0af7651916cd43dd8448eb211c80319c-0102030405060708-01"; got != want {
			t.Errorf("the model is told %q, want %q", got, want)
		}
		if got := r.Header.Get("tracestate"); got != "a=1,b=2" || r.ContentLength != 4 {
			t.Errorf("the model is told %q of %d bytes", got, r.ContentLength)
		}
	}
	for name, none := range map[string]*edge.Trace{"Nil": nil, "Zero": {}} {
		if head := string(appendHead(nil, request{path: "/x", trace: none})); strings.Contains(head, "trace") {
			t.Errorf("%s: the model is told %q", name, head)
		}
	}
}
