package runtime

import (
	"testing"
	"time"

	"holdfast/edge"
)

// TestTally counts answers: + good, - bad, each a period after the one before.
func TestTally(t *testing.T) {
	table := map[string]struct {
		probe   edge.Probe
		answers string
		want    string // the verdict after each: ? undecided, + passing, - failing
	}{
		"GoodAtOnce":          {edge.Probe{}, "+", "+"},
		"NeverGood":           {edge.Probe{}, "-----", "??---"},
		"OneFailureIsNone":    {edge.Probe{}, "+-+-+", "+++++"},
		"TwoAreNone":          {edge.Probe{}, "+--+--", "++++++"},
		"ThreeInARow":         {edge.Probe{}, "+---", "+++-"},
		"BackByOne":           {edge.Probe{}, "+---+", "+++-+"},
		"BackByMore":          {edge.Probe{Successes: 2}, "+++----+-++", "?++++----" + "-+"},
		"FirstFailureCounts":  {edge.Probe{Failures: 1}, "+-+-", "+-+-"},
		"FirstAnswerMayCount": {edge.Probe{Failures: 1}, "-", "-"},
	}
	signs := map[verdict]byte{undecided: '?', passing: '+', failing: '-'}
	for name, c := range table {
		t.Run(name, func(t *testing.T) {
			counted := tally{probe: c.probe}
			got := ""
			for i, answer := range c.answers {
				since, before := c.probe.Every(), counted.verdict
				if i == 0 {
					since = 0
				}
				changed := counted.count(answer == '+', since)
				if changed != (before != counted.verdict) {
					t.Errorf("answer %d: got changed %v from %v to %v", i, changed, before, counted.verdict)
				}
				got += string(signs[counted.verdict])
			}
			if got != c.want {
				t.Errorf("%s: got %s, want %s", c.answers, got, c.want)
			}
		})
	}
}

// TestTally_Next: until the first good answer an instance is asked often, and its
// failures are counted in time all the same.
func TestTally_Next(t *testing.T) {
	counted := tally{probe: edge.Probe{Period: 4 * time.Second, Failures: 3}}
	asked, wait := 0, time.Duration(0)
	for counted.verdict == undecided && asked < 1000 {
		counted.count(false, wait)
		wait = counted.next()
		asked++
	}
	if counted.spent < 8*time.Second || counted.spent > 10*time.Second || asked < 20 || asked > 100 {
		t.Errorf("got given up after %v and %d questions, want two periods and some tens", counted.spent, asked)
	}
	if counted.next() != 4*time.Second {
		t.Errorf("decided: got %v, want the period", counted.next())
	}
	if slow := (&tally{probe: edge.Probe{Exec: []string{"x"}}}).next(); slow != 200*time.Millisecond {
		t.Errorf("a command: got %v, want 200ms", slow)
	}
}
