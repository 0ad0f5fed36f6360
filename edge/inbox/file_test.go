package inbox_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/edge"
	"holdfast/edge/inbox"
	"holdfast/edge/verdict"
)

// tell has the verdicts among the files be those of one that lies in the folder.
func (s *stand) tell(of string, files []string) {
	s.t.Helper()
	content, err := os.ReadFile(filepath.Join(s.dir, of))
	info, statErr := os.Stat(filepath.Join(s.dir, of))
	if err != nil || statErr != nil {
		return
	}
	for _, name := range files {
		folder := filepath.Dir(name)
		if folder == "." || !strings.HasSuffix(name, ".json") {
			continue
		}
		v := verdict.Verdict{
			File: of, Digest: verdict.Digest(content), Modified: info.ModTime(),
			Outcome: map[string]edge.Outcome{"done": edge.Completed, "failed": edge.Failed}[folder],
			Answer:  json.RawMessage(`"` + strings.Repeat("x", 100<<10) + `"`),
		}
		s.put(name, string(v.Encode(1<<20)))
	}
}

// asks is how often tasks were asked.
func (s *stand) asks() int {
	asked, _ := s.tasks.all()
	return len(asked)
}

// begun is an inbox on an empty folder, in virtual time.
func begun(t *testing.T, f *tasks, glob string, do func(s *stand)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := in(t, dir, f, nil, edge.Trigger{Glob: glob})
		defer s.stop()
		do(s)
	})
}

// TestInbox_AnswersEach: no file is taken for another's, whatever else lies there.
func TestInbox_AnswersEach(t *testing.T) {
	t.Run("NamedLikeAVerdict", func(t *testing.T) {
		begun(t, &tasks{}, "", func(s *stand) {
			s.put("a.json", "\x01")
			time.Sleep(2 * time.Second)
			s.put("a", "\x02")
			time.Sleep(2 * time.Second)
			s.want("done/a-2 done/a-2.json done/a.json done/a.json.json")
			if s.asks() != 2 || s.verdict("done/a-2.json").File != "a" || s.verdict("done/a.json.json").File != "a.json" {
				t.Errorf("%d were asked", s.asks())
			}
		})
	})
	t.Run("NamedAsOneThatWasTakenAway", func(t *testing.T) {
		begun(t, &tasks{}, "", func(s *stand) {
			s.put("a", "\x01")
			time.Sleep(2 * time.Second)
			synctest.Wait()
			if err := os.Remove(filepath.Join(s.dir, "done/a")); err != nil {
				t.Fatal(err)
			}
			s.put("a", "\x02")
			time.Sleep(2 * time.Second)
			s.want("done/a-2 done/a-2.json done/a.json")
			if s.asks() != 2 {
				t.Errorf("%d were asked, want both", s.asks())
			}
		})
	})
	t.Run("NamesakesAtOnce", func(t *testing.T) {
		begun(t, &tasks{takes: time.Second}, "", func(s *stand) {
			s.put("a", "\x01")
			time.Sleep(4 * time.Second)
			s.put("a", "\x02")   // to be a-2
			s.put("a-2", "\x03") // at the same moment
			time.Sleep(4 * time.Second)
			synctest.Wait()
			if files := strings.Fields(s.files()); len(files) != 6 || s.asks() != 3 {
				t.Errorf("%d were asked, and %q is left; want three with their verdicts", s.asks(), files)
			}
		})
	})
	t.Run("ReplacedWhileItIsAnswered", func(t *testing.T) {
		begun(t, &tasks{takes: 5 * time.Second}, "", func(s *stand) {
			s.put("a", "\x01")
			time.Sleep(3 * time.Second)
			s.put(".next", "\x02")
			if err := os.Rename(filepath.Join(s.dir, ".next"), filepath.Join(s.dir, "a")); err != nil {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Second)
			s.want("done/a-2 done/a-2.json done/a.json")
			if one, two := s.verdict("done/a.json"), s.verdict("done/a-2.json"); s.asks() != 2 || one.ID != verdict.Digest([]byte("\x01")) || two.ID != verdict.Digest([]byte("\x02")) {
				t.Errorf("%d were asked: %+v, %+v", s.asks(), one, two)
			}
		})
	})
	t.Run("TakenAwayWhileItIsAnswered", func(t *testing.T) {
		begun(t, &tasks{takes: 5 * time.Second}, "", func(s *stand) {
			s.put("a", "\x01")
			time.Sleep(3 * time.Second)
			if err := os.Remove(filepath.Join(s.dir, "a")); err != nil {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Second)
			s.want("done/a.json")
			if status := s.Status(); s.asks() != 1 || s.warnings.of(s.dir) != "" || status.Outcomes[edge.Completed] != 1 {
				t.Errorf("%d were asked, and the warning is %q: %+v", s.asks(), s.warnings.of(s.dir), status)
			}
		})
	})
	t.Run("BehindMuchElse", func(t *testing.T) {
		begun(t, &tasks{}, "*.raw", func(s *stand) {
			for i := range 10_001 {
				s.put(fmt.Sprintf("%d.txt", i), "")
			}
			s.put("a.raw", "\x01")
			time.Sleep(2 * time.Second)
			synctest.Wait()
			if !slices.Contains(strings.Fields(s.files()), "done/a.raw") {
				t.Error("it was not found")
			}
		})
	})
}

// TestInbox_CountsWhatFollowed: what an earlier process answered is counted as that.
func TestInbox_CountsWhatFollowed(t *testing.T) {
	begun(t, &tasks{}, "", func(s *stand) {
		s.put("a", "\x01")
		s.tell("a", []string{"failed/a.json"})
		time.Sleep(2 * time.Second)
		s.want("failed/a failed/a.json")
		if status := s.Status(); status.Outcomes[edge.Failed] != 1 || status.Outcomes[edge.Completed] != 0 || s.asks() != 0 {
			t.Errorf("status = %+v", status)
		}
	})
}

// TestInbox_Waits: files for which there is no room for long are told of, and no longer than they wait.
func TestInbox_Waits(t *testing.T) {
	unserved := ends(edge.Refused, &edge.Refusal{Reason: edge.ReasonUnknownModel, Detail: "no workload serves it"})
	begun(t, &tasks{says: unserved}, "*.raw", func(s *stand) {
		s.Triggers([]edge.Trigger{{Dir: s.dir, Glob: "*.raw", Model: "m"}, {Dir: s.dir, Glob: "*.txt", Model: "m"}})
		s.put("a.raw", "\x01")
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if got := s.warnings.of(s.dir); got != "" {
			t.Errorf("the warning is %q after half a minute", got)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if got := s.warnings.of(s.dir); got != inbox.WarningWaits || s.warnings.told() != 1 {
			t.Errorf("the warning is %q, told %d times, want one that stays", got, s.warnings.told())
		}
		s.tasks.change(func() { s.tasks.says = nil })
		time.Sleep(2 * time.Minute)
		s.want("done/a.raw done/a.raw.json")
		if got := s.warnings.of(s.dir); got != "" {
			t.Errorf("the warning is %q, want none", got)
		}
	})
}

// TestInbox_CannotWrite: nothing is computed for nothing, and the warning stays as long as its cause.
func TestInbox_CannotWrite(t *testing.T) {
	begun(t, &tasks{}, "*.raw", func(s *stand) {
		s.Triggers([]edge.Trigger{{Dir: s.dir, Glob: "*.raw", Model: "m"}, {Dir: s.dir, Glob: "*.txt", Model: "m"}})
		s.put("done", "no folder")
		s.put("a.raw", "\x01")
		time.Sleep(2 * time.Second)
		for range 40 {
			time.Sleep(250 * time.Millisecond)
			synctest.Wait()
			if s.warnings.of(s.dir) != inbox.WarningFolder {
				t.Fatal("the warning has gone")
			}
		}
		if s.asks() != 0 || s.warnings.told() != 1 {
			t.Errorf("it was asked %d times, and told %d times", s.asks(), s.warnings.told())
		}
		if err := os.Remove(filepath.Join(s.dir, "done")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		s.want("done/a.raw done/a.raw.json")
		if s.asks() != 1 || s.warnings.of(s.dir) != "" {
			t.Errorf("it was asked %d times, and the warning is %q", s.asks(), s.warnings.of(s.dir))
		}
	})
}
