package edge_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"holdfast/edge"
)

const (
	traceID = "0af7651916cd43dd8448eb211c80319c"
	spanID  = "b7ad6b7169203331"
)

func TestParseTrace(t *testing.T) {
	for parent, sampled := range map[string]bool{
		"00-" + traceID + "-" + spanID + "-01":            true,
		"00-" + traceID + "-" + spanID + "-00":            false,
		"00-" + traceID + "-" + spanID + "-03":            true, // a flag of tomorrow beside it
		"cc-" + traceID + "-" + spanID + "-01":            true,
		"cc-" + traceID + "-" + spanID + "-01-tomorrow's": true,
	} {
		got, found := edge.ParseTrace(parent, "")
		if !found || got.ID.String() != traceID || got.Parent.String() != spanID || got.Sampled != sampled || !got.Decided {
			t.Errorf("%s is %+v, %t", parent, got, found)
		}
	}
	for _, parent := range []string{
		"", "00", "00-" + traceID + "-" + spanID, "00-" + traceID + "-" + spanID + "-01-more", "00-" + traceID + "-" + spanID + "-01.",
		"ff-" + traceID + "-" + spanID + "-01", "cc-" + traceID + "-" + spanID + "-01.more",
		"00-" + strings.Repeat("0", 32) + "-" + spanID + "-01", "00-" + traceID + "-" + strings.Repeat("0", 16) + "-01",
		"00-" + strings.ToUpper(traceID) + "-" + spanID + "-01", "00-" + traceID[1:] + "g-" + spanID + "-01",
		"0x-" + traceID + "-" + spanID + "-01", "00_" + traceID + "_" + spanID + "_01",
	} {
		if got, found := edge.ParseTrace(parent, "a=b"); found || got != (edge.Trace{}) {
			t.Errorf("%q is taken for %+v", parent, got)
		}
	}
}

func TestParseTrace_State(t *testing.T) {
	parent := "00-" + traceID + "-" + spanID + "-01"
	for state, want := range map[string]string{
		"":                        "",
		"rojo=00f067,congo=t61":   "rojo=00f067,congo=t61",
		"a=1, b=2":                "a=1, b=2",
		"a=1,,b=2":                "a=1,,b=2",
		"no-value":                "",
		"=1":                      "",
		"a=1\r\nX: y":             "",
		"a=" + repeat("x", 600):   "",
		"a=" + repeat("x", 510):   "a=" + repeat("x", 510),
		"a=\u00e9":                "",
		"tenant@vendor=1,other=2": "tenant@vendor=1,other=2",
	} {
		if got, _ := edge.ParseTrace(parent, state); got.State != want {
			t.Errorf("%.40q becomes %.40q, want %.40q", state, got.State, want)
		}
	}
}

func repeat(s string, n int) string { return strings.Repeat(s, n) }

func TestTrace_Traceparent(t *testing.T) {
	parent := "00-" + traceID + "-" + spanID + "-01"
	trace, _ := edge.ParseTrace(parent, "")
	trace.Span = trace.Parent
	if got := trace.Traceparent(); got != parent {
		t.Errorf("it is %q, want %q", got, parent)
	}
}

func TestTraceID_JSON(t *testing.T) {
	trace, _ := edge.ParseTrace("00-"+traceID+"-"+spanID+"-01", "")
	text, err := json.Marshal(edge.TaskView{Trace: trace.ID})
	if err != nil || !strings.Contains(string(text), `"trace":"`+traceID+`"`) {
		t.Errorf("a task's view is %s, %v", text, err)
	}
	var back edge.TaskView
	if err := json.Unmarshal(text, &back); err != nil || back.Trace != trace.ID {
		t.Errorf("read back it is %v, %v", back.Trace, err)
	}
	if text, _ := json.Marshal(edge.TaskView{}); strings.Contains(string(text), "trace") {
		t.Errorf("a task of no trace says so: %s", text)
	}
	if err := json.Unmarshal([]byte(`{"trace":"xyz"}`), &back); !errors.Is(err, edge.ErrInvalid) {
		t.Errorf("what is none gives %v", err)
	}
}

func FuzzParseTrace(f *testing.F) {
	f.Add("00-"+traceID+"-"+spanID+"-01", "a=1")
	f.Fuzz(func(t *testing.T, parent, state string) {
		trace, found := edge.ParseTrace(parent, state)
		if !found {
			return
		}
		trace.Span = trace.Parent
		again, found := edge.ParseTrace(trace.Traceparent(), trace.State)
		again.Span = again.Parent
		if !found || again != trace {
			t.Errorf("%q becomes %+v and then %+v", parent, trace, again)
		}
	})
}
