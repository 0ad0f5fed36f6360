package journal

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"holdfast/edge"
)

const (
	helloBytes   = 2 << 10 // of what Seen gives, as JSON
	helloCounter = 64      // of one issuer, when there is room
)

// Seen says which counters were taken, for a hello: the latest of each issuer, and as
// many as fit into 2 KiB of JSON. An issuer that is left out is one whose commands the
// fleet may send again.
func (j *Journal) Seen() []edge.SeenCommands {
	s := j.now()
	issuers := slices.SortedFunc(maps.Keys(s.seen), func(a, b string) int {
		return cmp.Or(cmp.Compare(s.seen[b].latest(), s.seen[a].latest()), cmp.Compare(a, b))
	})
	for most := helloCounter; ; {
		list := make([]edge.SeenCommands, 0, len(issuers))
		for _, issuer := range issuers {
			list = append(list, s.seen[issuer].report(issuer, most))
		}
		text, err := json.Marshal(list)
		switch {
		case err == nil && len(text) <= helloBytes:
			return list
		case most > 0:
			most /= 2
		default:
			issuers = issuers[:len(issuers)-1]
		}
	}
}

func (w window) latest() uint64 {
	if len(w.counters) == 0 {
		return w.floor
	}
	return w.counters[len(w.counters)-1]
}

func (w window) report(issuer string, most int) edge.SeenCommands {
	from := max(0, len(w.counters)-most)
	return edge.SeenCommands{Issuer: issuer, Floor: w.floor, Counters: slices.Clone(w.counters[from:]), Partial: from > 0}
}

// KeepIssuers forgets the counters of every issuer but these, which a version of the
// root names for commands: nobody else can have one taken again. A version older than
// one that was heard of changes nothing.
func (j *Journal) KeepIssuers(ctx context.Context, root uint64, issuers []string) error {
	err := j.commit(ctx, func(d *draft) error {
		if root < d.root {
			return nil
		}
		d.root = root
		d.put(bucketMeta, "root", strconv.AppendUint(nil, root, 10))
		for issuer := range maps.Clone(d.seen) {
			if !slices.Contains(issuers, issuer) {
				delete(d.seen, issuer)
				d.remove(bucketSeen, issuer)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("cannot forget issuers: %w", err)
	}
	return nil
}

// Note is what was last noted under a name, nil for nothing.
func (j *Journal) Note(name string) []byte {
	return slices.Clone(j.now().records[bucketNote+"/"+name])
}

// SetNote commits a small value under a name; an empty one removes it. Values that
// change often belong together: each commit writes some pages.
func (j *Journal) SetNote(ctx context.Context, name string, value []byte) error {
	if !edge.IsName(name) || len(value) > maxNote {
		return fmt.Errorf("cannot note %.70q: %w", name, edge.ErrInvalid)
	}
	value = slices.Clone(value)
	err := j.commit(ctx, func(d *draft) error {
		if len(value) == 0 {
			d.remove(bucketNote, name)
			return nil
		}
		if _, known := d.records[bucketNote+"/"+name]; !known && d.notes() >= maxNotes {
			return fmt.Errorf("%d notes are kept: %w", maxNotes, edge.ErrInvalid)
		}
		d.put(bucketNote, name, value)
		return nil
	})
	if err != nil {
		return fmt.Errorf("cannot note %q: %w", name, err)
	}
	return nil
}

func (d *draft) notes() (count int) {
	for name := range d.records {
		if len(name) > len(bucketNote) && name[:len(bucketNote)+1] == bucketNote+"/" {
			count++
		}
	}
	return count
}
