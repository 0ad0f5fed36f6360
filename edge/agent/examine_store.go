package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"holdfast/edge"
	"holdfast/edge/boltfile"
	"holdfast/edge/host"
	"holdfast/mqtt/journal"
	"holdfast/policycache"
)

// database is one of the agent's own.
type database struct {
	code, name string
	what       string
	kind       string
	layout     boltfile.Layout
}

func databases() []database {
	return []database{
		{"store-policy", "state.db", "the policy, its lease and the clock floor", kindState, policycache.Layout()},
		{"store-link", "link.db", "commands, replies and what the fleet has not confirmed", kindLink, journal.Layout()},
	}
}

// examineStore looks at what the agent keeps. Files that a running agent has open are the
// agent's to judge.
func (d Doctor) examineStore(ctx context.Context, status *edge.Status) []host.Finding {
	var findings []host.Finding
	for _, one := range databases() {
		f := found(one.code, filepath.Join(d.Config.Paths.State, one.name), "")
		if status != nil && exists(f.Subject) {
			f.Detail = "is open in the agent, which judges it itself (" + one.what + ")"
			findings = append(findings, f)
			continue
		}
		findings = append(findings, examineDatabase(ctx, f, one))
	}
	return append(findings, d.examineSpool())
}

func examineDatabase(ctx context.Context, f host.Finding, one database) host.Finding {
	file, err := boltfile.New(boltfile.Options{Path: f.Subject, Layout: one.layout, Child: checker(one.kind)})
	if err != nil {
		return turned(f, host.LevelFail, err.Error(), "install holdfast anew")
	}
	is, err := file.Read(ctx)
	switch {
	case errors.Is(err, edge.ErrLocked):
		return turned(f, host.LevelWarn, "is open in another process, and no agent answers", "end what has it open: fuser "+f.Subject)
	case err != nil:
		return turned(f, host.LevelWarn, err.Error(), "run holdfast doctor as root")
	case is.Rung == boltfile.Absent:
		f.Detail = "is not there yet: the agent makes it when it needs it"
	case is.Rung == boltfile.Newer:
		return turned(f, host.LevelFail, fmt.Sprintf("a newer holdfast wrote it: %v", is.Why), "install that version again")
	case is.Rung == boltfile.Failed && errors.Is(is.Why, boltfile.ErrDamaged):
		return turned(f, host.LevelFail, fmt.Sprintf("is damaged: %v", is.Why),
			"holdfast doctor --repair, or start the agent: both go back to what is left of it")
	case is.Rung == boltfile.Failed:
		return turned(f, host.LevelWarn, is.Why.Error(), "run holdfast doctor as root")
	default:
		f.Detail = fmt.Sprintf("is whole (%d records)", len(is.Records))
	}
	return f
}

// examineSpool looks at the ring of what must still reach the fleet.
func (d Doctor) examineSpool() host.Finding {
	folder := filepath.Join(d.Config.Paths.State, "spool")
	f := found("store-spool", folder, "")
	entries, err := os.ReadDir(folder)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		f.Detail = "is not there yet: the agent makes it once there is a link"
		return f
	case err != nil:
		return turned(f, host.LevelFail, err.Error(), "run as root, or make it readable for the agent")
	}
	var size int64
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && info.Mode().IsRegular() {
			size += info.Size()
		}
	}
	f.Detail = fmt.Sprintf("can be read (%d KiB)", size>>10)
	return f
}
