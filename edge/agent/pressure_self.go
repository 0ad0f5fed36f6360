package agent

import (
	"errors"
	"os"
	"strconv"
	"strings"
)

// agentScore is the agent's standing where the machine has no memory left, as the unit has
// it: everything else goes before, instances with 100 to 500 first. Not -1000: an agent that
// leaks must still be ended by somebody.
const agentScore = -900

// scoreFile is where the kernel keeps it.
const scoreFile = "/proc/self/oom_score_adj"

// standFirm takes that standing where no service manager has given it. Somebody who may not
// leaves it as it was, and the log says so.
func (a *Agent) standFirm() {
	if err := lowerScore(scoreFile, agentScore); err != nil {
		a.options.Log.Warn("oom-score-not-lowered", "error", err.Error())
	}
}

// lowerScore writes a score unless a lower one stands.
func lowerScore(file string, score int) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	now, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || now <= score {
		return err
	}
	written, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = written.WriteString(strconv.Itoa(score))
	return errors.Join(err, written.Close())
}
