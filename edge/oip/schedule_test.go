package oip_test

import (
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/oip"
)

func TestParameters_Timeout(t *testing.T) {
	cases := map[string]struct {
		raw   string
		want  time.Duration
		given bool
		fails bool
	}{
		"Absent":   {"", 0, false, false},
		"Micro":    {"80000", 80 * time.Millisecond, true, false},
		"Zero":     {"0", 0, true, false},
		"Negative": {"-5", -5 * time.Microsecond, true, false},
		"Huge":     {"99999999999999999999", 9223372036854775 * time.Microsecond, true, false},
		"Fraction": {"1.5", 0, true, true},
		"Text":     {`"80ms"`, 0, true, true},
		"Null":     {"null", 0, true, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := oip.Parameters{}
			if c.raw != "" {
				p["timeout"] = []byte(c.raw)
			}
			got, given, err := p.Timeout()
			if got != c.want || given != c.given || (err != nil) != c.fails {
				t.Errorf("got %v, %v, %v", got, given, err)
			}
		})
	}
}

func TestParameters_Class(t *testing.T) {
	cases := map[string]struct {
		raw   string
		want  edge.Class
		given bool
		fails bool
	}{
		"Absent": {"", 0, false, false}, "Default": {"0", 0, false, false},
		"Urgent": {"1", edge.Urgent, true, false}, "Normal": {"2", edge.Normal, true, false}, "Batch": {"3", edge.Batch, true, false},
		"Beyond": {"4", 0, false, true}, "Text": {`"urgent"`, 0, false, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := oip.Parameters{}
			if c.raw != "" {
				p["priority"] = []byte(c.raw)
			}
			got, given, err := p.Class()
			if got != c.want || given != c.given || (err != nil) != c.fails {
				t.Errorf("got %v, %v, %v", got, given, err)
			}
		})
	}
}
