package agent

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/edge"
	"holdfast/runtime/upstream"
	"holdfast/scheduler"
)

// TestAgent_Rule: what is warned of an upstream goes with the policy that names it.
func TestAgent_Rule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // so that nothing else can have cleared the warning
		log := slog.New(slog.DiscardHandler)
		a := &Agent{options: Options{Log: log}, router: upstream.NewRouter(), chronicle: newChronicle(log)}
		a.warnings = newWarnings(a.chronicle)
		a.partition = &partition{govern: func(scheduler.Rules) {}, now: time.Now}
		a.keychain = &keychain{state: t.TempDir(), policy: func() *edge.Policy { return nil }}
		policy := &edge.Policy{
			// What cannot be had is its token, so that nothing has to listen.
			Upstreams: map[string]edge.UpstreamPolicy{"hq": {URL: "http://127.0.0.1:1", Token: "plant", Breaker: edge.BreakerPolicy{Failures: 1}}},
			Routes:    map[string]edge.RoutePolicy{"m": {Upstream: "hq", Mode: edge.RouteUpstream}},
		}
		lose := func() {
			t.Helper()
			if _, err := a.router.Ask(t.Context(), edge.Task{Model: "m"}); err == nil {
				t.Fatal("an upstream answered without its token")
			}
			if standing := a.warnings.All(); len(standing) != 1 || standing[0].Code != codeUpstreamDown || standing[0].Subject != "hq" {
				t.Fatalf("warnings: got %+v, want that the upstream is lost", standing)
			}
		}
		a.rule(policy)
		lose()
		a.rule(policy)
		if standing := a.warnings.All(); len(standing) != 1 {
			t.Errorf("got %+v, want the warning to stay with the upstream", standing)
		}
		a.rule(nil)
		if standing := a.warnings.All(); len(standing) > 0 {
			t.Errorf("got %+v of an upstream that no policy names", standing)
		}
		a.rule(policy)
		lose()
	})
}

// TestAgent_Token: a secret in a file of the node ends as editors end files.
func TestAgent_Token(t *testing.T) {
	state := t.TempDir()
	path := filepath.Join(state, secretsName, "plant")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("Open Sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := &Agent{keychain: &keychain{state: state, policy: func() *edge.Policy { return nil }}}
	if token, err := a.token("plant"); err != nil || token != "Open Sesame" {
		t.Errorf("got %q, %v", token, err)
	}
	if _, err := a.token("other"); err == nil {
		t.Error("a secret was read that nobody has")
	}
}
