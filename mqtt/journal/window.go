package journal

import (
	"encoding/binary"
	"errors"
	"slices"
)

// window remembers which counters of one issuer were taken: those listed, and all up
// to the floor. Nobody changes one; with gives another.
type window struct {
	floor    uint64
	counters []uint64 // ascending, above the floor, at most Window
}

func (w window) has(counter uint64) bool {
	_, listed := slices.BinarySearch(w.counters, counter)
	return listed || counter <= w.floor
}

// with marks a counter. When there are too many, the lowest falls out and is the floor.
func (w window) with(counter uint64) window {
	at, listed := slices.BinarySearch(w.counters, counter)
	if listed || counter <= w.floor {
		return w
	}
	list := slices.Insert(slices.Clone(w.counters), at, counter)
	if len(list) > Window {
		return window{floor: list[0], counters: list[1:]}
	}
	return window{floor: w.floor, counters: list}
}

var errWindow = errors.New("not a window of counters")

// encode writes the floor, how many there are, and each counter as what it is above
// the one before: all as uvarints. Counters drawn from a clock take some 5 bytes each.
func (w window) encode() []byte {
	out := binary.AppendUvarint(nil, w.floor)
	out = binary.AppendUvarint(out, uint64(len(w.counters)))
	before := w.floor
	for _, counter := range w.counters {
		out = binary.AppendUvarint(out, counter-before)
		before = counter
	}
	return out
}

func decodeWindow(text []byte) (w window, err error) {
	next := func() (value uint64) {
		value, size := binary.Uvarint(text)
		if size <= 0 {
			err = errWindow
			return 0
		}
		text = text[size:]
		return value
	}
	w.floor = next()
	count := next()
	if err != nil || count > Window || count > uint64(len(text)) {
		return window{}, errWindow
	}
	w.counters = make([]uint64, 0, count)
	before := w.floor
	for range count {
		step := next()
		if err != nil || step == 0 || before+step < before {
			return window{}, errWindow
		}
		before += step
		w.counters = append(w.counters, before)
	}
	if len(text) > 0 {
		return window{}, errWindow
	}
	return w, nil
}
