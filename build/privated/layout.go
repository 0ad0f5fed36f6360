package privated

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"holdfast/edge"
)

// layout names every path of one private daemon.
type layout struct {
	dir    string
	root   string // content, snapshots and metadata, kept between runs
	state  string // sockets and bundles
	socket string
	config string
	log    string
	pid    string
	lock   string
}

// maxStateDir is the longest state folder that keeps the daemon's sockets and
// those it derives from them well below the 107 bytes of a unix socket path.
const maxStateDir = 60

func newLayout(dir string) layout {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	state := filepath.Join(dir, "state")
	if len(state) > maxStateDir {
		sum := sha256.Sum256([]byte(dir))
		state = filepath.Join("/run/holdfast-dev", hex.EncodeToString(sum[:6]))
	}
	return layout{
		dir:    dir,
		root:   filepath.Join(dir, "root"),
		state:  state,
		socket: filepath.Join(state, "containerd.sock"),
		config: filepath.Join(dir, "containerd.toml"),
		log:    filepath.Join(dir, "containerd.log"),
		pid:    filepath.Join(dir, "containerd.pid"),
		lock:   filepath.Join(dir, "lock"),
	}
}

// configText leaves out what a device would not load either: Kubernetes' side
// of containerd costs start time and memory, and its restart monitor would fight
// the agent over who restarts what. The blanks are root, state, temporary folder,
// socket and the folder of optional binaries. Version 2 of the format is read by every
// containerd from 1.6 to 2; a plugin that one of them does not have is not missed.
const configText = `version = 2
root = %q
state = %q
temp = %q
disabled_plugins = [
  "io.containerd.grpc.v1.cri",
  "io.containerd.cri.v1.images",
  "io.containerd.cri.v1.runtime",
  "io.containerd.podsandbox.controller.v1.podsandbox",
  "io.containerd.nri.v1.nri",
  "io.containerd.internal.v1.restart",
  "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.internal.v1.tracing",
]

[grpc]
  address = %q

[debug]
  level = "warn"

[plugins."io.containerd.internal.v1.opt"]
  path = %q
`

func (l layout) create() error {
	if l.dir == "" {
		return fmt.Errorf("cannot create daemon folder: no dir given: %w", edge.ErrInvalid)
	}
	temp, opt := filepath.Join(l.dir, "tmp"), filepath.Join(l.dir, "opt")
	for _, dir := range []string{l.dir, l.root, l.state, temp, opt} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return fmt.Errorf("cannot create daemon folder: %w", err)
		}
	}
	text := fmt.Sprintf(configText, l.root, l.state, temp, l.socket, opt)
	if err := os.WriteFile(l.config, []byte(text), 0o600); err != nil {
		return fmt.Errorf("cannot write daemon configuration: %w", err)
	}
	return nil
}

// discard empties the folder. The lock stays: whoever waits for it waits for this
// very file.
func (l layout) discard() error {
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return fmt.Errorf("cannot discard daemon folder: %w", err)
	}
	var failed []error
	for _, entry := range entries {
		if path := filepath.Join(l.dir, entry.Name()); path != l.lock {
			failed = append(failed, os.RemoveAll(path))
		}
	}
	return errors.Join(failed...)
}

func (l layout) writePID(pid int) error {
	if err := os.WriteFile(l.pid, []byte(strconv.Itoa(pid)), 0o600); err != nil {
		return fmt.Errorf("cannot write pid file: %w", err)
	}
	return nil
}

// logEnd is the last part of the daemon's log, for an error a person reads.
func (l layout) logEnd() string {
	const part = 2048 // bytes, about ten lines
	file, err := os.Open(l.log)
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.Size() > part {
		_, _ = file.Seek(-part, io.SeekEnd) // at worst the whole log is shown
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text))
}

// ToolsVariable names the folder of another containerd, with its shim and ctr, that
// everything shall run on that does not name one itself: an older daemon, for example.
const ToolsVariable = "HOLDFAST_TEST_CONTAINERD"

// findTools returns the folder with the daemon's binaries.
func findTools(dir string) (string, error) {
	if dir == "" {
		dir = os.Getenv(ToolsVariable)
	}
	if dir == "" {
		root, err := repositoryRoot()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(root, ".tools", "bin")
	}
	for _, name := range []string{"containerd", "containerd-shim-runc-v2", "ctr"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return "", edge.WithHint(fmt.Errorf("cannot find %s in %q; run make provision: %w", name, dir, edge.ErrNotFound), "run make provision")
		}
	}
	return filepath.Abs(dir)
}

// repositoryRoot is the nearest folder above the working directory that holds a
// go.mod.
func repositoryRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("cannot find repository: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("cannot find repository: no go.mod above the working directory: %w", edge.ErrNotFound)
		}
		dir = parent
	}
}
