package oip

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"time"

	"holdfast/edge"
)

// Timeout is the schedule policy extension's parameters.timeout, a whole number
// of microseconds; false when it was not given. What lies beyond the longest
// duration becomes the longest.
func (p Parameters) Timeout() (time.Duration, bool, error) {
	raw, given := p["timeout"]
	if !given {
		return 0, false, nil
	}
	us, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, true, fieldErrorf("parameters.timeout", "must be a whole number of microseconds, not %.20s", raw)
	}
	us = min(max(us, math.MinInt64/1000), math.MaxInt64/1000)
	return time.Duration(us) * time.Microsecond, true, nil
}

// Class is the class that the schedule policy extension's parameters.priority
// asks for: 1 urgent, 2 normal, 3 batch. False: 0 or nothing, which leaves it to
// the server.
func (p Parameters) Class() (edge.Class, bool, error) {
	raw, given := p["priority"]
	if !given {
		return 0, false, nil
	}
	switch string(raw) {
	case "0":
		return 0, false, nil
	case "1":
		return edge.Urgent, true, nil
	case "2":
		return edge.Normal, true, nil
	case "3":
		return edge.Batch, true, nil
	}
	return 0, false, fieldErrorf("parameters.priority", "must be 0 (default), 1 (urgent), 2 (normal) or 3 (batch), not %.20s", raw)
}

// Int reads a parameter that is a whole number.
func (p Parameters) Int(name string) (int64, bool) {
	n, err := strconv.ParseInt(string(p[name]), 10, 64)
	return n, err == nil
}

// Bool reads a parameter that is true or false.
func (p Parameters) Bool(name string) (value, ok bool) {
	switch string(p[name]) {
	case "true":
		return true, true
	case "false":
		return false, true
	}
	return false, false
}

// Text reads a parameter that is a string.
func (p Parameters) Text(name string) (string, bool) {
	var s string
	err := json.Unmarshal(p[name], &s)
	return s, err == nil
}
