package localapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/edge"
	"holdfast/edge/oip"
)

// MinToken is the fewest characters a token may have: tries are few a second, and no list
// of words has so long ones.
const MinToken = 16

const (
	// freeTries is how many wrong tokens are answered at once.
	freeTries = 5
	// tryEvery is how often one may be tried after those. Meanwhile no token is looked at,
	// not even the right one: an answer would tell which it is.
	tryEvery = time.Second
)

// token is what lets who came by the port do more than look.
type token struct {
	digest atomic.Pointer[[sha256.Size]byte] // nil: there is none

	mu    sync.Mutex // guards what follows
	wrong int        // tries that are not forgiven yet
	since time.Time  // from when the next is being forgiven
}

// UseToken has the port answer what changes things, to those who send this token. The
// empty one answers nobody, as at the start. It may be called at any time.
func (s *Server) UseToken(text string) error {
	if text == "" {
		s.token.digest.Store(nil)
		return nil
	}
	if len(text) < MinToken || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("token of the API must be at least %d characters, without spaces: %w", MinToken, edge.ErrInvalid)
	}
	digest := sha256.Sum256([]byte(text))
	s.token.digest.Store(&digest)
	return nil
}

// mayTry tells whether a token may be looked at now.
func (t *token) mayTry(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if forgiven := int(now.Sub(t.since) / tryEvery); t.wrong > 0 && forgiven > 0 {
		t.wrong = max(t.wrong-forgiven, 0)
		t.since = t.since.Add(time.Duration(forgiven) * tryEvery)
	}
	return t.wrong < freeTries
}

func (t *token) tried(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.wrong == 0 {
		t.since = now
	}
	t.wrong++
}

// fits compares without telling by its time how much was right.
func (t *token) fits(text string, now time.Time) bool {
	digest := t.digest.Load()
	given := sha256.Sum256([]byte(text))
	if digest != nil && subtle.ConstantTimeCompare(given[:], digest[:]) == 1 {
		return true
	}
	t.tried(now)
	return false
}

// trusted serves a private verb at the port, for who has the token.
func (s *Server) trusted(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if p := s.mistrust(r); p != nil {
			if p.status == http.StatusUnauthorized {
				w.Header().Set("WWW-Authenticate", `Bearer realm="holdfast"`)
			}
			s.fail(w, *p)
			return
		}
		serve(w, r.WithContext(edge.WithCaller(r.Context(), "local API, token")))
	}
}

// mistrust says why a request at the port is not believed; nil when it is.
func (s *Server) mistrust(r *http.Request) *problem {
	if s.token.digest.Load() == nil {
		p := s.elsewhere(r)
		p.body.Hint = joined(p.body.Hint, "or have api.tokenFile name a file with a token, and send it as Authorization: Bearer TOKEN")
		return &p
	}
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || text == "" {
		return &problem{status: http.StatusUnauthorized, body: oip.ErrorBody{
			Error: fmt.Sprintf("%s %s needs the token", r.Method, r.URL.Path), Reason: reasonUnauthorized,
			Hint: "send what is in the file that api.tokenFile names as Authorization: Bearer TOKEN; holdfast does with --token-file",
		}}
	}
	now := time.Now()
	if !s.token.mayTry(now) {
		return &problem{status: http.StatusTooManyRequests, retry: tryEvery, body: oip.ErrorBody{
			Error: "too many wrong tokens were sent: none is looked at for a second", Reason: reasonUnauthorized,
			Hint: "the unix socket answers meanwhile",
		}}
	}
	if !s.token.fits(strings.TrimSpace(text), now) {
		return &problem{status: http.StatusUnauthorized, body: oip.ErrorBody{
			Error: "the token is not the one that api.tokenFile holds", Reason: reasonUnauthorized,
		}}
	}
	return nil
}

// joined puts a further hint behind one that may be there.
func joined(hint, more string) string {
	if hint == "" {
		return more
	}
	return hint + "; " + more
}
