package inbox_test

import (
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/edge"
	"holdfast/edge/inbox"
)

// virtual time begins at midnight of the first of January 2000, UTC.
func utc(t edge.Trigger) edge.Trigger {
	t.Cron = "TZ=UTC " + t.Cron
	return t
}

// seldom spares the looks of a long day.
func seldom(o *inbox.Options) { o.Every = 20 * time.Second }

func TestInbox_WaitsForItsTime(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := in(t, dir, &tasks{}, seldom, utc(edge.Trigger{Cron: "30 2 * * *"}))
		defer s.stop()
		s.put("a.raw", "\x01")
		time.Sleep(2*time.Hour + 29*time.Minute)
		s.want("a.raw")
		s.put("b.raw", "\x01")
		time.Sleep(2 * time.Minute)
		s.put("late.raw", "\x01")
		s.want("done/a.raw done/a.raw.json done/b.raw done/b.raw.json late.raw")
		time.Sleep(23 * time.Hour)
		s.want("done/a.raw done/a.raw.json done/b.raw done/b.raw.json late.raw")
		time.Sleep(time.Hour)
		s.want("done/a.raw done/a.raw.json done/b.raw done/b.raw.json done/late.raw done/late.raw.json")
	})
}

// TestInbox_MakesUpForATime begins with a file whose time came while no process ran.
func TestInbox_MakesUpForATime(t *testing.T) {
	for name, c := range map[string]struct {
		before time.Duration // it came
		files  string
	}{
		"ATimeHasPassed": {22 * time.Hour, "done/a.raw done/a.raw.json"},
		"NoTimeYet":      {21 * time.Hour, "a.raw"},
		"WrongClock":     {-time.Hour, "a.raw"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				came := time.Now().Add(-c.before)
				arrived := func(o *inbox.Options) { o.Arrived = func(fs.FileInfo) time.Time { return came } }
				s := in(t, dir, &tasks{}, arrived, utc(edge.Trigger{Cron: "30 2 * * *"}))
				defer s.stop()
				s.put("a.raw", "\x01")
				time.Sleep(3 * time.Second)
				s.want(c.files)
			})
		})
	}
}

func (s *stand) rounds(more edge.Trigger) {
	more.Into, more.Model = filepath.Join(s.dir, "into"), "m"
	s.Triggers([]edge.Trigger{utc(more)})
}

func TestInbox_GoesByTheClock(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := in(t, dir, &tasks{}, nil, edge.Trigger{})
		defer s.stop()
		s.put("camera/latest.raw", "\x01\x02")
		s.rounds(edge.Trigger{File: filepath.Join(dir, "camera/latest.raw"), Cron: "*/20 * * * *", Class: edge.Batch, Deadline: edge.Duration(time.Minute), Keep: 2})
		if status := s.Status(); status.Timed != 1 || status.Folders != 0 {
			t.Errorf("status = %+v", status)
		}
		time.Sleep(19 * time.Minute)
		s.want("camera/latest.raw")
		time.Sleep(2 * time.Minute)
		s.want("camera/latest.raw into/latest.raw.20000101T002000Z.json")
		if v := s.verdict("into/latest.raw.20000101T002000Z.json"); v.File != "latest.raw" || v.Outcome != "completed" || len(v.Answer) == 0 {
			t.Errorf("verdict = %+v", v)
		}
		time.Sleep(time.Hour)
		s.want("camera/latest.raw into/latest.raw.20000101T010000Z.json into/latest.raw.20000101T012000Z.json")
		asked, _ := s.tasks.all()
		if got := asked[0]; len(asked) != 4 || got.Class != edge.Batch || got.Deadline.Sub(got.Arrived) != time.Minute {
			t.Errorf("asked %+v", asked)
		}
	})
}

func TestInbox_AsksAnInput(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := in(t, dir, &tasks{}, seldom, edge.Trigger{})
		defer s.stop()
		s.rounds(edge.Trigger{Input: "[1]", Cron: "0 6 * * *"})
		time.Sleep(6*time.Hour + time.Minute)
		s.want("into/m.20000101T060000Z.json")
	})
}

// TestInbox_MakesUpOnce begins a second process after times at which none ran.
func TestInbox_MakesUpOnce(t *testing.T) {
	for name, c := range map[string]struct {
		left  string // verdicts
		files string
	}{
		"ATimeHasPassed":   {"into/m.19991231T120000Z.json", "into/m.19991231T120000Z.json into/m.20000101T000000Z.json"},
		"AnsweredAlready":  {"into/m.19991231T235000Z.json", "into/m.19991231T235000Z.json"},
		"NeverAnswered":    {"other", "other"},
		"FromTheFuture":    {"into/m.20300101T000000Z.json", "into/m.20300101T000000Z.json"},
		"AnothersVerdicts": {"into/n.19991231T120000Z.json", "into/n.19991231T120000Z.json"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				s := in(t, dir, &tasks{}, nil, edge.Trigger{})
				defer s.stop()
				s.put(c.left, "{}")
				s.rounds(edge.Trigger{Input: "[1]", Cron: "20 23 * * *"})
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				if got := s.files(); got != c.files && got != strings.ReplaceAll(c.files, "T000000Z", "T000001Z") {
					t.Errorf("the folder holds %q, want %q", got, c.files)
				}
			})
		})
	}
}

// TestInbox_CannotKeep asks nothing whose verdict has no place to go.
func TestInbox_CannotKeep(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := in(t, dir, &tasks{}, nil, edge.Trigger{})
		defer s.stop()
		s.put("into", "a file where the folder should be")
		s.rounds(edge.Trigger{Input: "[1]", Cron: "@hourly"})
		time.Sleep(2*time.Hour + time.Minute)
		synctest.Wait()
		if asked, _ := s.tasks.all(); len(asked) > 0 {
			t.Errorf("%d tasks were asked", len(asked))
		}
		if got := s.warnings.of(filepath.Join(dir, "into")); got != inbox.WarningFolder {
			t.Errorf("the warning is %q", got)
		}
	})
}

func TestInbox_MissesItsFile(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := in(t, dir, &tasks{}, nil, edge.Trigger{})
		defer s.stop()
		into := filepath.Join(dir, "into")
		s.rounds(edge.Trigger{File: filepath.Join(dir, "latest.raw"), Cron: "@hourly"})
		time.Sleep(time.Hour + time.Minute)
		synctest.Wait()
		if got := s.warnings.of(into); got != inbox.WarningFolder {
			t.Errorf("the warning is %q", got)
		}
		s.put("latest.raw", "\x01")
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if got := s.files(); !strings.HasPrefix(got, "into/latest.raw.20000101T01") {
			t.Errorf("the folder holds %q", got)
		}
		if got := s.warnings.of(into); got != "" {
			t.Errorf("the warning is %q, want none", got)
		}
	})
}

func TestInbox_TellsOfABadTimetable(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := in(t, dir, &tasks{}, nil, edge.Trigger{Cron: "often"})
		defer s.stop()
		s.put("a", "\x01")
		time.Sleep(3 * time.Second)
		s.want("a")
		if got := s.warnings.of(dir); got != inbox.WarningFolder {
			t.Errorf("the warning is %q", got)
		}
		s.Triggers(nil)
		if got := s.warnings.of(dir); got != "" {
			t.Errorf("the warning is %q, want none", got)
		}
	})
}
