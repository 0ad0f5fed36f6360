package edge_test

import (
	"encoding/json"
	"testing"
	"time"

	"holdfast/edge"
)

func TestSize_Parse(t *testing.T) {
	for text, want := range map[string]edge.Size{
		"0": 0, "1024": 1024, "512Mi": 512 << 20, "512M": 512 << 20, "512MiB": 512 << 20, "64K": 64 << 10, "2Ti": 2 << 40, "7B": 7,
	} {
		if got, err := edge.ParseSize(text); err != nil || got != want {
			t.Errorf("%s = %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "Mi", "512MB", "-1", "+1", "1.5Gi", "1e3", "0x10", "9223372036854775807Ki", "1 Mi", "1iM"} {
		if got, err := edge.ParseSize(text); err == nil {
			t.Errorf("%q was read as %d", text, got)
		}
	}
	t.Run("BareNumber", func(t *testing.T) {
		var size edge.Size
		if err := json.Unmarshal([]byte(`1048576`), &size); err != nil || size != 1<<20 {
			t.Errorf("size = %d, %v", size, err)
		}
	})
}

func TestRate_Parse(t *testing.T) {
	for text, want := range map[string]float64{"50/s": 50, "30/m": 0.5, "36/h": 0.01} {
		rate, err := edge.ParseRate(text)
		if err != nil || rate.PerSecond() != want || rate.String() != text {
			t.Errorf("%s = %v (%v a second), %v", text, rate, rate.PerSecond(), err)
		}
	}
	for _, text := range []string{"", "50", "/s", "-1/s", "50/d", "1.5/s", "50/s/s"} {
		if got, err := edge.ParseRate(text); err == nil {
			t.Errorf("%q was read as %v", text, got)
		}
	}
}

// FuzzMeasures: what is read is written so that it reads the same.
func FuzzMeasures(f *testing.F) {
	for _, text := range []string{"512Mi", "1h30m", "50/s", "10m", "0"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if size, err := edge.ParseSize(text); err == nil {
			if again, err := edge.ParseSize(size.String()); err != nil || again != size {
				t.Errorf("size %q: %d, %d, %v", text, size, again, err)
			}
		}
		if d, err := edge.ParseDuration(text); err == nil {
			if again, err := edge.ParseDuration(d.String()); err != nil || again != d {
				t.Errorf("duration %q: %v, %v, %v", text, time.Duration(d), again, err)
			}
		}
		if rate, err := edge.ParseRate(text); err == nil {
			if again, err := edge.ParseRate(rate.String()); err != nil || again != rate {
				t.Errorf("rate %q: %v, %v, %v", text, rate, again, err)
			}
		}
	})
}

func TestAudience_Matches(t *testing.T) {
	node := edge.Identity{Node: "gw-7", Groups: []string{"line-3", "hall-2"}, Labels: map[string]string{"site": "north", "spare": ""}}
	for name, test := range map[string]struct {
		audience edge.Audience
		want     bool
	}{
		"Nobody":       {edge.Audience{}, false},
		"Node":         {edge.Audience{Node: "gw-7"}, true},
		"OtherNode":    {edge.Audience{Node: "gw-8"}, false},
		"Group":        {edge.Audience{Group: "hall-2"}, true},
		"OtherGroup":   {edge.Audience{Group: "gw-7"}, false},
		"Labels":       {edge.Audience{Labels: map[string]string{"site": "north"}}, true},
		"AllLabels":    {edge.Audience{Labels: map[string]string{"site": "north", "line": "3"}}, false},
		"EmptyLabel":   {edge.Audience{Labels: map[string]string{"spare": ""}}, true},
		"AbsentLabel":  {edge.Audience{Labels: map[string]string{"gone": ""}}, false},
		"SeveralAllOf": {edge.Audience{Node: "gw-7", Group: "other"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := test.audience.Matches(node); got != test.want {
				t.Errorf("%v matches = %v, want %v", test.audience, got, test.want)
			}
		})
	}
}
