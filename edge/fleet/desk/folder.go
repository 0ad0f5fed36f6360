package desk

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"holdfast/edge"
	"holdfast/edge/fleet"
	"holdfast/edge/trust"
)

// Folder is where a desk keeps what it has signed and said for one site:
//
//	policies/   signed policies, one file each
//	roots/      signed root documents
//	commands/   signed commands, by id
//	counters/   the highest counter of each issuer
//	history/    what nodes have said: {node}/{epoch}.jsonl
//
// Files may be put in by hand, too. Several calls may use one folder at a time.
type Folder struct{ path string }

// The folders within.
const (
	policiesFolder = "policies"
	rootsFolder    = "roots"
	commandsFolder = "commands"
	countersFolder = "counters"
	historyFolder  = "history"
)

// OpenFolder makes the folder of one site if it is not there. Commands are for nobody else
// to read.
func OpenFolder(path string) (*Folder, error) {
	for _, part := range [...]string{"", policiesFolder, rootsFolder, commandsFolder, countersFolder, historyFolder} {
		if err := os.MkdirAll(filepath.Join(path, part), 0o700); err != nil {
			return nil, fmt.Errorf("cannot create desk's folder: %w", err)
		}
	}
	return &Folder{path}, nil
}

func taken(id string) error {
	return edge.WithHint(fmt.Errorf("cannot use id %q: another command has it: %w", id, edge.ErrExists), "choose another --id; the same id says the same again")
}

// Command is the signed command kept under an id, nil when there is none.
func (f *Folder) Command(id string) ([]byte, error) {
	if !edge.IsName(id) {
		return nil, fmt.Errorf("cannot look up command %.80q: it is no name: %w", id, edge.ErrInvalid)
	}
	envelope, err := readBounded(f.command(id), trust.MaxEnvelope)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return envelope, err
}

func (f *Folder) command(id string) string { return filepath.Join(f.path, commandsFolder, id+".json") }

// NextCounter gives an issuer a counter above every earlier one: the microseconds since
// 1970, so that desks that do not share a folder go on from one another, or one more
// than the last where the clock was set back.
func (f *Folder) NextCounter(issuer string, now time.Time) (uint64, error) {
	if !edge.IsName(issuer) && !isHex(issuer) {
		return 0, fmt.Errorf("cannot count for issuer %.80q: it is no id of a key: %w", issuer, edge.ErrInvalid)
	}
	release, err := f.lock()
	if err != nil {
		return 0, err
	}
	defer release()
	path := filepath.Join(f.path, countersFolder, issuer)
	text, err := readBounded(path, 64)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	last, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 53)
	if err != nil && len(text) > 0 {
		return 0, fmt.Errorf("cannot read counter %q: %w", path, err)
	}
	next := max(last+1, uint64(max(now.UnixMicro(), 1)))
	return next, fleet.Write(path, strconv.AppendUint(nil, next, 10))
}

func isHex(text string) bool {
	return text != "" && len(text) <= 128 && strings.Trim(text, "0123456789abcdef") == ""
}

// lock keeps two calls from changing the folder at once.
func (f *Folder) lock() (release func(), err error) {
	return lockFile(filepath.Join(f.path, ".lock"), syscall.LOCK_EX)
}

// Attended claims the folder for one attendance.
func (f *Folder) attended() (release func(), err error) {
	release, err = lockFile(filepath.Join(f.path, ".attended"), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, edge.WithHint(fmt.Errorf("cannot attend from %q: another process does: %w", f.path, edge.ErrExists), "one attendance per folder; end the other one")
	}
	return release, err
}

func lockFile(path string, how int) (release func(), err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock desk's folder: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), how); err != nil {
		file.Close()
		return nil, fmt.Errorf("cannot lock %q: %w", path, err)
	}
	return func() { file.Close() }, nil // the kernel lets go with the file
}

// readBounded reads a file that should be small.
func readBounded(path string, most int) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read file: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > int64(most) {
		return nil, fmt.Errorf("cannot read %q: no regular file of at most %d bytes: %w", path, most, edge.ErrInvalid)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read file: %w", err)
	}
	return text, nil
}

// OpenCommand reads what a signed command says. Nobody has looked at its signatures.
func OpenCommand(envelope []byte) (*edge.Command, *trust.Envelope, error) {
	opened, err := trust.Open(envelope)
	if err != nil {
		return nil, nil, err
	}
	if opened.PayloadType != trust.TypeCommand {
		return nil, nil, fmt.Errorf("it is no command but %.80q: %w", opened.PayloadType, edge.ErrInvalid)
	}
	var c edge.Command
	if err := json.Unmarshal(opened.Payload, &c); err != nil {
		return nil, nil, fmt.Errorf("it is no command: %w: %w", edge.ErrInvalid, err)
	}
	return &c, opened, c.Check()
}
