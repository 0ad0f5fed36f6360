package timetable_test

import (
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/timetable"
)

func at(t *testing.T, text string) time.Time {
	t.Helper()
	v, err := time.Parse("2006-01-02 15:04:05", text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestTimetable_Next(t *testing.T) {
	for _, c := range []struct{ text, after, next string }{
		{"30 2 * * *", "2026-03-28 02:29:59", "2026-03-28 02:30:00"},
		{"30 2 * * *", "2026-03-28 02:30:00", "2026-03-29 02:30:00"},
		{"*/7 * * * *", "2026-03-28 12:57:30", "2026-03-28 13:00:00"},
		{"0 6-22/4 * * MON-FRI", "2026-11-20 22:00:00", "2026-11-23 06:00:00"},
		{"0 0 29 2 *", "2026-03-28 00:00:00", "2028-02-29 00:00:00"},
		{"@hourly", "2026-03-28 12:57:30", "2026-03-28 13:00:00"},
		{"@every 90m", "2026-03-28 12:00:00", "2026-03-28 13:30:00"},
		{"TZ=UTC 0 5 * * *", "2026-03-28 12:00:00", "2026-03-29 05:00:00"},
	} {
		t.Run(c.text, func(t *testing.T) {
			table, err := timetable.Parse(c.text)
			if err != nil {
				t.Fatal(err)
			}
			after, next := at(t, c.after), at(t, c.next)
			if got := table.Next(after); !got.Equal(next) {
				t.Errorf("after %v comes %v, want %v", after, got, next)
			}
			if table.IsDue(after, next.Add(-time.Second)) || !table.IsDue(after, next) {
				t.Error("it is due at another time than the next")
			}
		})
	}
}

func TestParse_Refuses(t *testing.T) {
	for _, text := range []string{"", "often", "* * * *", "61 * * * *", "0 25 * * *", "5-1 * * * *", "*/0 * * * *", "0 0 30 2 *", "@never", "@every soon", "@every 500ms", "@every -1m", "TZ=Nowhere/Else 0 0 * * *"} {
		t.Run(text, func(t *testing.T) {
			_, err := timetable.Parse(text)
			if err == nil || edge.HintOf(err) == "" {
				t.Errorf("error = %v, with hint %q; want one that says what to write", err, edge.HintOf(err))
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add("30 2 * * *")
	f.Add("@every 1h")
	f.Add("TZ= ")
	f.Fuzz(func(t *testing.T, text string) {
		table, err := timetable.Parse(text)
		if err != nil {
			return
		}
		now := time.Unix(1e9, 0)
		if next := table.Next(now); !next.IsZero() && !next.After(now) {
			t.Errorf("%q: after %v comes %v", text, now, next)
		}
	})
}
