package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/edge/cli"
	"holdfast/edge/oip"
)

// TestInbox_Killed has files of a folder answered by an agent that is killed again and again: each has one
// verdict, which is right, in the end.
func TestInbox_Killed(t *testing.T) {
	const files, kills = 30, 6
	n := newNode(t, "policy.trial=1s")
	n.begin(digitsService(1))
	n.awaitReady("digits", 1)
	dir, looks := t.TempDir(), t.TempDir()
	looked := filepath.Join(t.TempDir(), "latest.json")
	n.apply(n.desk.sign(draft{version: 2, services: []string{digitsService(1)}, sections: []string{
		fmt.Sprintf("triggers: [{dir: %q, glob: '*.json', model: digits, class: batch, deadline: 20s}, {file: %q, cron: '@every 1s', into: %q, model: digits}]",
			dir, looked, looks),
	}})).want(t, cli.ExitOK)
	n.awaitProven(2) // three kills before would take it back
	inputs, err := samples()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(looked, inputs[files].request.Body, 0o644); err != nil {
		t.Fatal(err)
	}
	put := func(i int) {
		t.Helper()
		draft := filepath.Join(dir, fmt.Sprintf(".%02d", i))
		if err := os.WriteFile(draft, inputs[i].request.Body, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(draft, filepath.Join(dir, fmt.Sprintf("%02d.json", i))); err != nil {
			t.Fatal(err)
		}
	}
	answered := func() int {
		found, err := filepath.Glob(filepath.Join(dir, "done", "*.json.json"))
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	for i := range files {
		put(i)
	}
	for range kills {
		before := answered()
		n.await("another file to be answered", func(context.Context) error {
			if got := answered(); got == before && got < files {
				return fmt.Errorf("%d are", got)
			}
			return nil
		})
		timer := time.NewTimer(rand.N(3 * time.Millisecond))
		<-timer.C
		if err := n.KillAgent(); err != nil {
			t.Fatal(err)
		}
		n.startAgent()
	}
	n.await("all files to be answered", func(context.Context) error {
		left, err := filepath.Glob(filepath.Join(dir, "*.json"))
		if err != nil || len(left) > 0 || answered() < files {
			return fmt.Errorf("%d are, and %v are left, %w", answered(), left, err)
		}
		return nil
	})
	wrong := 0
	for i := range files {
		if !saysLabel(t, filepath.Join(dir, "done", fmt.Sprintf("%02d.json.json", i)), inputs[i].label) {
			wrong++
		}
	}
	entries, err := os.ReadDir(filepath.Join(dir, "done"))
	if err != nil || len(entries) != 2*files || answered() != files || wrong > 2 {
		t.Errorf("%d files lie there, %d verdicts, %d of them wrong (%v); want %d, %d, and two at most", len(entries), answered(), wrong, err, 2*files, files)
	}
	n.verb("status").want(t, cli.ExitOK, "inbox 1 folders", "1 timetables")
	var asked []string
	n.await("a file to be looked at every second", func(context.Context) (err error) {
		if asked, err = filepath.Glob(filepath.Join(looks, "latest.json.*.json")); err == nil && len(asked) < 3 {
			err = fmt.Errorf("it was, %d times", len(asked))
		}
		return err
	})
	for _, path := range asked {
		if !saysLabel(t, path, inputs[files].label) {
			t.Errorf("%s is wrong", path)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "bad.json"), []byte("hello"), 0o644); err != nil {
		t.Fatal(err)
	}
	n.await("what is no input to be put aside", func(context.Context) error {
		text, err := os.ReadFile(filepath.Join(dir, "failed", "bad.json.json"))
		if err == nil && !strings.Contains(string(text), "invalid_request") {
			err = fmt.Errorf("it says %s", text)
		}
		return err
	})
}

// saysLabel tells whether the verdict has an answer with the label.
func saysLabel(t *testing.T, path string, want int64) bool {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Outcome string            `json:"outcome"`
		Answer  oip.InferResponse `json:"answer"`
	}
	if err := json.Unmarshal(text, &v); err != nil || v.Outcome != "completed" {
		t.Fatalf("%s: %v: %s", path, err, text)
	}
	for _, out := range v.Answer.Outputs {
		if out.Name == "label" && strings.Trim(string(out.Data), "[] \n") == fmt.Sprint(want) {
			return true
		}
	}
	return false
}
