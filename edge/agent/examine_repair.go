package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"holdfast/edge"
	"holdfast/edge/host"
	"holdfast/mqtt/journal"
	"holdfast/policycache"
	"holdfast/runtime/containerd/salvage"
)

// Mending is one thing that was done, or could not be.
type Mending struct {
	Code   string `json:"code"` // of the finding it is about
	Did    string `json:"did,omitempty"`
	Failed string `json:"failed,omitempty"` // why it could not be done
	Remedy string `json:"remedy,omitempty"`
}

// mendings is what a repair has come to so far.
type mendings []Mending

func (m *mendings) did(code, format string, args ...any) {
	*m = append(*m, Mending{Code: code, Did: fmt.Sprintf(format, args...)})
}

func (m *mendings) failed(code string, err error, remedy string) {
	*m = append(*m, Mending{Code: code, Failed: err.Error(), Remedy: remedyOf(err, remedy)})
}

// Repair does what is safe: nothing that a running agent or containerd has open is
// touched, and nothing is thrown away that could not be had again but what was damaged,
// of which the latest is kept aside.
func (d Doctor) Repair(ctx context.Context) []Mending {
	var m mendings
	d.makeFolders(&m)
	if lock := d.agentsPlace(&m); lock != nil {
		d.clearUp(&m)
		d.mendStore(ctx, &m)
		if err := lock.Close(); err != nil {
			m.failed("agent", err, "run holdfast doctor --repair again")
		}
	}
	d.mendMetadata(ctx, &m)
	return m
}

// makeFolders makes what the agent would make when it starts.
func (d Doctor) makeFolders(m *mendings) {
	paths := d.Config.Paths
	for _, folder := range []struct {
		code, path string
		mode       os.FileMode
	}{
		{"state-folder", paths.State, 0o755},
		{"state-folder", filepath.Join(paths.State, "images"), 0o755},
		{"run-folder", paths.Run, 0o755},
	} {
		if _, err := os.Stat(folder.path); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := os.MkdirAll(folder.path, folder.mode); err != nil {
			m.failed(folder.code, fmt.Errorf("cannot make folder: %w", err), "run as root, or choose another folder")
			continue
		}
		m.did(folder.code, "made %s", folder.path)
	}
}

// agentsPlace takes the place of the agent while its files are looked at; nil while an
// agent runs.
func (d Doctor) agentsPlace(m *mendings) *stateLock {
	lock, err := lockState(d.Config.Paths.State)
	switch {
	case errors.Is(err, edge.ErrLocked):
		m.did("agent", "left the agent's own files alone, for an agent runs and looks after them")
		return nil
	case err == nil && lock.lost != nil:
		err = lock.lost
	}
	if err != nil {
		m.failed("state-folder", err, "run as root, or choose another folder")
		return nil
	}
	return lock
}

// halfWritten are the names of what is given its real name only once it is whole, below
// the state folder. None of it outlives the process that wrote it.
var halfWritten = []string{".doctor-*", "*.new", "*.older", "import/archive-*"}

// clearUp removes what a process left that did not come to its end.
func (d Doctor) clearUp(m *mendings) {
	for _, pattern := range halfWritten {
		left, _ := filepath.Glob(filepath.Join(d.Config.Paths.State, pattern)) // the patterns are well formed
		for _, path := range left {
			if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
				continue
			}
			if err := os.Remove(path); err != nil {
				m.failed("state-folder", err, "remove it")
				continue
			}
			m.did("state-folder", "removed %s, which was left half written", path)
		}
	}
	d.clearSocket(m)
}

// clearSocket removes the agent's socket when nobody listens behind it any more.
func (d Doctor) clearSocket(m *mendings) {
	path := d.Config.API.Socket
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != fs.ModeSocket {
		return
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		conn.Close()
		return
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return
	}
	if err := os.Remove(path); err != nil {
		m.failed("agent", err, "remove "+path)
		return
	}
	m.did("agent", "removed the socket %s, behind which nobody listens", path)
}

// mendStore sends damaged databases down the ladder that the agent itself has for them.
func (d Doctor) mendStore(ctx context.Context, m *mendings) {
	for _, one := range databases() {
		path := filepath.Join(d.Config.Paths.State, one.name)
		before := examineDatabase(ctx, found(one.code, path, ""), one)
		if before.Level != host.LevelFail || !strings.HasPrefix(before.Detail, "is damaged") {
			continue
		}
		open := d.openPolicies
		if one.kind == kindLink {
			open = d.openJournal
		}
		if err := open(ctx); err != nil {
			m.failed(one.code, err, "start the agent, which tries again")
			continue
		}
		if after := examineDatabase(ctx, found(one.code, path, ""), one); after.Level != host.LevelOK {
			m.failed(one.code, errors.New(after.Detail), after.Remedy)
			continue
		}
		m.did(one.code, "went back to what was left of %s; what was damaged lies beside it", path)
	}
}

// openPolicies opens the policy cache once, as the agent does when it starts.
func (d Doctor) openPolicies(ctx context.Context) error {
	came := ReadTrust(d.Config.Policy, d.Config.Paths.State)
	if came.Root == nil {
		return fmt.Errorf("cannot open policies: this node believes nobody: %w", edge.ErrInvalid)
	}
	store, err := policycache.New(policycache.Options{
		Dir: d.Config.Paths.State, Root: came.Root, Factory: came.Factory, Identity: d.Config.Node.Identity(),
		Built: d.Built, Checker: checker(kindState),
	})
	if err != nil {
		return err
	}
	return errors.Join(store.Open(ctx), store.Close())
}

func (d Doctor) openJournal(ctx context.Context) error {
	record, err := journal.New(journal.Options{
		Path: filepath.Join(d.Config.Paths.State, "link.db"), Boot: bootID(), Child: checker(kindLink),
		Stamp: stamp{floor: func() time.Time { return d.Built }}.put,
	})
	if err != nil {
		return err
	}
	return errors.Join(record.Open(ctx), record.Close())
}

// mendMetadata brings containerd's own records back, where containerd is down.
func (d Doctor) mendMetadata(ctx context.Context, m *mendings) {
	const code = "containerd-metadata"
	options, err := d.salvage()
	if errors.Is(err, errNobodyKnows) {
		if !d.askDaemon(ctx).Connected {
			m.failed(code, err, "name its configuration: holdfast doctor --repair --containerd-config FILE")
		}
		return
	}
	if err != nil {
		m.failed(code, err, "run as root")
		return
	}
	report, err := salvage.Repair(ctx, options)
	for _, step := range report.Steps {
		m.did(code, "%s", step)
	}
	switch {
	case errors.Is(err, edge.ErrLocked):
		if !d.askDaemon(ctx).Connected {
			m.failed(code, err, "")
		}
	case err != nil:
		m.failed(code, err, "make room on "+options.Root+", and run holdfast doctor --repair again")
	case report.Repaired:
		for _, digest := range report.Missing {
			m.did(code, "image %s is not whole on disk: it comes from the folder %s or from its registry", digest, filepath.Join(d.Config.Paths.State, "images"))
		}
		m.did(code, "containerd can be started: systemctl start containerd")
	}
}
