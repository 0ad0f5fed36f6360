package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"holdfast/edge"
	"holdfast/edge/boltfile"
)

const (
	versionsName = "versions.json"
	// maxVersions bounds the file: the workloads of a policy of 48 KiB once more, and eight
	// failed versions of each with a few hundred bytes of why.
	maxVersions      = 1 << 20
	maxVersionsDepth = 12
	// keepAgain is between two tries to write: a disk that is full is seldom so for seconds.
	keepAgain = 10 * time.Second
	// codeVersions warns that the last good versions would not be known after a restart.
	codeVersions = "versions-not-kept"
)

// versions keeps what the supervisor remembers of the versions of workloads: the last
// good one, to which it goes back, and those that failed. It is written when that has
// changed, which is twice for each version brought.
//
// A file that is lost costs the way back from the next bad version, until one has been
// good again, and no more.
type versions struct {
	path     string
	warnings *warnings
	log      *slog.Logger
	latest   chan map[string]edge.Versions // capacity 1: only the latest counts
}

type versionsFile struct {
	Workloads map[string]edge.Versions `json:"workloads"`
}

func newVersions(state string, w *warnings, log *slog.Logger) *versions {
	return &versions{
		path: filepath.Join(state, versionsName), warnings: w, log: log,
		latest: make(chan map[string]edge.Versions, 1),
	}
}

// Read gives what was kept.
func (v *versions) Read() map[string]edge.Versions {
	kept, err := readVersions(v.path)
	if err != nil {
		v.log.Warn("versions-not-read", "error", err.Error())
	}
	return kept
}

// Keep takes what is to be kept. Only the supervisor's loop calls it, and it does not wait.
func (v *versions) Keep(kept map[string]edge.Versions) {
	select {
	case <-v.latest:
	default:
	}
	v.latest <- kept // which has room: nobody else sends
}

// Run writes what is to be kept until ctx ends.
func (v *versions) Run(ctx context.Context) error {
	var pending map[string]edge.Versions
	for {
		var again <-chan time.Time
		if pending != nil {
			again = time.After(keepAgain)
		}
		select {
		case pending = <-v.latest:
		case <-again:
		case <-ctx.Done():
			select {
			case pending = <-v.latest:
			default:
			}
			v.write(pending)
			return nil
		}
		if v.write(pending) {
			pending = nil
		}
	}
}

// write tells whether nothing is left to be written.
func (v *versions) write(kept map[string]edge.Versions) bool {
	if kept == nil {
		return true
	}
	if err := v.put(kept); err != nil {
		v.warnings.Raise(edge.Warning{
			Code: codeVersions, Subject: v.path, Detail: fmt.Sprintf("which versions of workloads are good would not be known after a restart: %v", err),
			Remedy: "see whether the disk of the state folder is full or damaged: holdfast doctor",
		})
		return false
	}
	v.warnings.Clear(codeVersions, v.path)
	return true
}

func (v *versions) put(kept map[string]edge.Versions) error {
	if len(kept) == 0 {
		return errors.Join(gone(v.path), gone(draftOf(v.path)))
	}
	text, err := json.Marshal(versionsFile{kept})
	if err != nil {
		return err
	}
	if len(text) > maxVersions {
		return fmt.Errorf("they are %d bytes, more than %d", len(text), maxVersions)
	}
	return boltfile.Replace(boltfile.RealDisk{}, v.path, text)
}

// gone removes a file that may not be there.
func gone(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// readVersions reads the file; one that is not there holds nothing. What it says of a
// version is held against the policy before that runs again.
func readVersions(path string) (map[string]edge.Versions, error) {
	text, err := readRegular(path, maxVersions)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read versions of workloads: %w", err)
	}
	var file versionsFile
	// Fields of a later agent are left alone: it would have kept the file for itself.
	if _, err := edge.DecodeJSON(text, edge.JSONBounds{Size: maxVersions, Depth: maxVersionsDepth}, &file); err != nil {
		return nil, fmt.Errorf("cannot read versions of workloads from %q: %w", path, err)
	}
	for key, kept := range file.Workloads {
		if kept.Good != nil && kept.Good.Key() != key {
			return nil, fmt.Errorf("cannot read versions of workloads from %q: %q stands under %q: %w", path, kept.Good.Key(), key, edge.ErrInvalid)
		}
	}
	return file.Workloads, nil
}
