package cli

import (
	"fmt"
	"time"

	"holdfast/edge"
)

// updateMark says in the short list that a workload stands between two versions.
func updateMark(v edge.WorkloadView) string {
	if v.Update == nil {
		return ""
	}
	return " (update: " + string(v.Update.Phase) + ")"
}

// printUpdates says of each workload that is not in its wanted version for good how it
// stands.
func printUpdates(p printer, views []edge.WorkloadView, now time.Time) {
	for _, v := range views {
		if v.Update != nil {
			fmt.Fprintf(p.out, "\n%s: %s\n", printable(v.Workload.Key()), printable(updateWords(*v.Update, now)))
		}
	}
}

// updateWords says how an update stands.
func updateWords(u edge.UpdateView, now time.Time) string {
	wanted := fmt.Sprintf("version %s (%s)", edge.ShortHash(u.Wanted), shortImage(u.Image))
	good := "version " + edge.ShortHash(u.Good)
	since, lasts := ago(u.Since, now), coarse(now.Sub(u.Since))
	switch u.Phase {
	case edge.UpdateTakenBack:
		return fmt.Sprintf("%s failed and was taken back %s, %s runs: %s", wanted, since, good, u.Why)
	case edge.UpdatePaused, edge.UpdateFailed:
		return fmt.Sprintf("%s, begun %s, is %s: %s%s", wanted, since, u.Phase, u.Why, canaryWords(u.Canary, now))
	case edge.UpdateCanary:
		return fmt.Sprintf("%s has been tried for %s%s", wanted, lasts, canaryWords(u.Canary, now))
	}
	if u.Good == "" {
		return fmt.Sprintf("%s has been on trial for %s; none is known that was good", wanted, lasts)
	}
	return fmt.Sprintf("%s has been on trial for %s; should it fail, %s runs again", wanted, lasts, good)
}

// canaryWords compares two versions by their figures.
func canaryWords(c *edge.CanaryReport, now time.Time) string {
	if c == nil {
		return ""
	}
	words := fmt.Sprintf(" by %d%% of the tasks: %s, before %s; decided with %d tasks", c.Share, figureWords(c.New), figureWords(c.Old), c.Tasks)
	if c.Until.IsZero() {
		return words
	}
	return words + " or in " + coarse(c.Until.Sub(now))
}

func figureWords(f edge.VersionFigure) string {
	return fmt.Sprintf("%d tasks, %d failed, p50 %s, p90 %s", f.Tasks, f.Failed, coarse(f.Median), coarse(f.P90))
}
