package agent

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"holdfast/edge"
)

// warnings is the set of lasting degraded conditions, each raised once however
// often it is found again.
type warnings struct {
	chronicle *chronicle

	mu     sync.Mutex // guards raised
	raised map[warningKey]edge.Warning
}

type warningKey struct{ code, subject string }

func newWarnings(j *chronicle) *warnings {
	return &warnings{chronicle: j, raised: map[warningKey]edge.Warning{}}
}

// Raise adds a warning, or renews the words of one that stands already.
func (w *warnings) Raise(warning edge.Warning) {
	key := warningKey{warning.Code, warning.Subject}
	w.mu.Lock()
	standing, known := w.raised[key]
	warning.Since = standing.Since
	if !known {
		warning.Since = time.Now()
	}
	w.raised[key] = warning
	w.mu.Unlock()
	if !known {
		w.chronicle.Add(edge.Event{
			Kind: edge.EventWarningRaised, Subject: warning.Subject, Cause: warning.Detail,
			Facts: map[string]string{"code": warning.Code},
		})
	}
}

// Clear ends a warning; one that does not stand is ignored.
func (w *warnings) Clear(code, subject string) {
	key := warningKey{code, subject}
	w.mu.Lock()
	_, known := w.raised[key]
	delete(w.raised, key)
	w.mu.Unlock()
	if known {
		w.chronicle.Add(edge.Event{
			Kind: edge.EventWarningCleared, Subject: subject,
			Facts: map[string]string{"code": code},
		})
	}
}

// All lists the warnings that stand, the oldest first.
func (w *warnings) All() []edge.Warning {
	w.mu.Lock()
	all := slices.Collect(maps.Values(w.raised))
	w.mu.Unlock()
	edge.SortStable(all, func(a, b edge.Warning) int {
		if order := a.Since.Compare(b.Since); order != 0 {
			return order
		}
		return strings.Compare(a.Code+a.Subject, b.Code+b.Subject)
	})
	return all
}

// sharedWarnings carries a list of warnings that somebody else keeps into the node's
// own.
type sharedWarnings struct {
	warnings *warnings

	mu    sync.Mutex // guards shown
	shown []warningKey
}

// share raises what stands and clears what stood.
func (s *sharedWarnings) share(standing []edge.Warning) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var now []warningKey
	for _, w := range standing {
		now = append(now, warningKey{w.Code, w.Subject})
		s.warnings.Raise(w)
	}
	for _, key := range s.shown {
		if !slices.Contains(now, key) {
			s.warnings.Clear(key.code, key.subject)
		}
	}
	s.shown = now
}
