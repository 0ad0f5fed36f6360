package agent

import (
	"fmt"

	"holdfast/edge"
	"holdfast/edge/host"
	"holdfast/edge/rauc"
)

// examineSystem looks at what would install another version of the whole system.
func examineSystem(status *edge.Status) []host.Finding {
	f := found("system", "the machine's system", "")
	if err := rauc.New("", nil).Missing(); err != nil {
		f.Detail = "rauc is not installed, so holdfast does not update the system: " + edge.HintOf(err)
		return []host.Finding{f}
	}
	if status == nil {
		return nil
	}
	if status.System == nil {
		err := rauc.New("", nil).Undescribed()
		if err == nil {
			return nil // it was not asked yet
		}
		f.Detail = "rauc is told of no systems, so holdfast does not update any: " + edge.HintOf(err)
		return []host.Finding{f}
	}
	switch r := status.System; {
	case r.Trouble != "":
		f = turned(f, host.LevelWarn, r.Trouble, "systemctl status rauc; rauc status; /etc/rauc/system.conf describes the systems of the disk")
	case r.Trial:
		f = turned(f, host.LevelWarn, fmt.Sprintf("version %s is new, and nobody has called it good", r.Version), "the unit that runs `rauc status mark-good` does that; without it the loader goes back to the former system")
	case r.Waiting != "":
		f = turned(f, host.LevelWarn, fmt.Sprintf("version %s is installed, and %s runs", r.Waiting, wordOr(r.Version, "the former one")), "start the machine anew")
	default:
		f.Detail = fmt.Sprintf("version %s runs, in %s", wordOr(r.Version, "unknown"), r.Slot)
	}
	return []host.Finding{f}
}

func wordOr(word, other string) string {
	if word == "" {
		return other
	}
	return word
}
