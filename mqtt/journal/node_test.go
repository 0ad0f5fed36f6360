package journal_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"holdfast/edge"
	"holdfast/edge/boltfile"
	"holdfast/mqtt/journal"
	"holdfast/mqtt/outbox"
)

// execEnv names the emulator this binary is run with, as go test -exec does, where the
// kernel cannot start it by itself.
const execEnv = "HOLDFAST_EXEC"

// checkVerb makes this test binary the child process that checks a database.
const checkVerb = "check-database"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == checkVerb {
		os.Exit(boltfile.CheckMain(map[string]boltfile.Layout{"link": journal.Layout()}, os.Args[2:]))
	}
	goleak.VerifyTestMain(m)
}

func child(ctx context.Context, path string) *exec.Cmd {
	args := append(strings.Fields(os.Getenv(execEnv)), os.Args[0], checkVerb, "link", path)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0") // under -race it would linger a second
	return cmd
}

// stamp is the same at all times, so that files of the same history are the same.
func stamp(r *outbox.Record) {
	r.Mono, r.Time, r.Quality = 90*time.Second, time.Unix(1.8e9, 0), "ntp"
}

func options(dir, boot string) journal.Options {
	return journal.Options{Path: filepath.Join(dir, "link.db"), Boot: boot, Child: child, Stamp: stamp}
}

func open(t testing.TB, o journal.Options) *journal.Journal {
	t.Helper()
	j, err := journal.New(o)
	must(t, err)
	t.Cleanup(func() { j.Close() })
	must(t, j.Open(t.Context()))
	return j
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// order is a command of an issuer.
func order(issuer string, counter uint64) edge.Command {
	return edge.Command{
		APIVersion: edge.APIVersion, Kind: edge.CommandKind, ID: fmt.Sprintf("%.8s-%d", issuer, counter), Issuer: issuer, Counter: counter,
		Audience: edge.Audience{Node: "gw-7"}, Expires: time.Unix(1.9e9, 0).UTC(), Verb: edge.VerbRestart, Args: json.RawMessage(`{"workload":"a<b"}`),
	}
}

func digest(c edge.Command) string { return fmt.Sprintf("sha256:%s-%d", c.Issuer, c.Counter) }

func take(t testing.TB, j *journal.Journal, c edge.Command) journal.Taken {
	t.Helper()
	taken, err := j.Take(t.Context(), c, digest(c))
	must(t, err)
	return taken
}

// carry takes a command through all stages.
func carry(t testing.TB, j *journal.Journal, c edge.Command) {
	t.Helper()
	if !take(t, j, c).New {
		t.Fatalf("command %s is not new", c.ID)
	}
	must(t, j.Begin(t.Context(), c.ID))
	must(t, j.Finish(t.Context(), done(c)))
}

func done(c edge.Command) edge.Reply {
	return edge.Reply{Command: c.ID, Stage: edge.StageSucceeded, Result: json.RawMessage(`{"n":1,"a":"<&>"}`)}
}

// entries is the whole stream.
func entries(t testing.TB, j *journal.Journal) []outbox.Entry {
	t.Helper()
	batch, err := j.Read(outbox.Position{}, 1<<20)
	must(t, err)
	return batch.Entries
}

// said is the stream as replies: number, command and stage of each.
func said(t testing.TB, j *journal.Journal) (list []string) {
	t.Helper()
	for _, e := range entries(t, j) {
		var r edge.Reply
		must(t, json.Unmarshal(e.Body, &r))
		list = append(list, fmt.Sprintf("%d %s %s", e.Seq, r.Command, r.Stage))
	}
	return list
}

func warned(j *journal.Journal, code string) bool {
	for _, w := range j.Status().Warnings {
		if w.Code == code {
			return true
		}
	}
	return false
}
