package desk

import (
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"holdfast/edge"
	"holdfast/edge/fleet"
	"holdfast/edge/trust"
)

// shelf is what of the folder an attendance has at hand: the newest policies, roots,
// and the commands that have not expired. Files are read once, and again when changed.
type shelf struct {
	folder *Folder
	root   *trust.Root // nil: what is in the folder is believed
	log    *slog.Logger

	looked   time.Time
	seen     map[string]fs.FileInfo
	policies map[string]policyFile
	roots    map[uint64][]byte
	commands map[string]commandFile
}

type policyFile struct {
	audience edge.Audience
	version  uint64
	envelope []byte
}

type commandFile struct {
	command  *edge.Command
	envelope []byte
}

func newShelf(folder *Folder, root *trust.Root, log *slog.Logger) *shelf {
	return &shelf{
		folder: folder, root: root, log: log, seen: map[string]fs.FileInfo{},
		policies: map[string]policyFile{}, roots: map[uint64][]byte{}, commands: map[string]commandFile{},
	}
}

// lookAgain is how old what is known of the folder may be.
const lookAgain = time.Second

// look reads what is new. A file that cannot be read is passed over until it changes.
func (s *shelf) look(now time.Time) {
	if !s.looked.IsZero() && now.Sub(s.looked) < lookAgain {
		return
	}
	s.looked = now
	for _, part := range [...]struct {
		folder string
		take   func(path string) error
		forget func(path string)
	}{
		{policiesFolder, s.takePolicy, func(path string) { delete(s.policies, path) }},
		{rootsFolder, s.takeRoot, func(string) {}},
		{commandsFolder, s.takeCommand, func(path string) { delete(s.commands, path) }},
	} {
		s.lookInto(filepath.Join(s.folder.path, part.folder), part.take, part.forget)
	}
	for path, c := range s.commands {
		if now.After(c.command.Expires) {
			delete(s.commands, path)
		}
	}
}

func (s *shelf) lookInto(folder string, take func(string) error, forget func(string)) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		s.log.Warn("desk's folder not readable", "err", err)
		return
	}
	there := map[string]bool{}
	for _, entry := range entries {
		path := filepath.Join(folder, entry.Name())
		info, err := entry.Info()
		if err != nil || !strings.HasSuffix(path, ".json") || strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		there[path] = true
		if before := s.seen[path]; before != nil && before.Size() == info.Size() && before.ModTime().Equal(info.ModTime()) {
			continue
		}
		s.seen[path] = info
		forget(path)
		if err := take(path); err != nil {
			s.log.Warn("document not taken", "file", path, "err", err)
		}
	}
	for path := range s.seen {
		if filepath.Dir(path) == folder && !there[path] {
			delete(s.seen, path)
			forget(path)
		}
	}
}

func (s *shelf) takePolicy(path string) error {
	document, err := s.read(path)
	if err != nil {
		return err
	}
	if document.Policy == nil {
		return fmt.Errorf("it is no policy: %w", edge.ErrInvalid)
	}
	m := document.Policy.Metadata
	s.policies[path] = policyFile{m.Audience, m.Version, document.Signed()}
	return nil
}

func (s *shelf) takeRoot(path string) error {
	document, err := s.read(path)
	if err != nil {
		return err
	}
	if document.Root == nil {
		return fmt.Errorf("it is no root document: %w", edge.ErrInvalid)
	}
	s.roots[document.Root.Version] = document.Signed()
	return nil
}

// read reads a signed document; a policy must be one the root makes nodes believe,
// where there is a root.
func (s *shelf) read(path string) (*fleet.Document, error) {
	document, err := fleet.ReadDocument(path)
	if err != nil {
		return nil, err
	}
	if document.Policy == nil {
		return document, CheckDocument(document, nil) // the next root need not be the successor of ours
	}
	return document, CheckDocument(document, s.root)
}

func (s *shelf) takeCommand(path string) error {
	envelope, err := readBounded(path, trust.MaxEnvelope)
	if err != nil {
		return err
	}
	command, _, err := OpenCommand(envelope)
	if err == nil {
		s.commands[path] = commandFile{command, envelope}
	}
	return err
}

// policyFor is the newest policy for a node, nil when there is none.
func (s *shelf) policyFor(node edge.Identity) (newest policyFile) {
	for _, p := range s.policies {
		if p.version > newest.version && p.audience.Matches(node) {
			newest = p
		}
	}
	return newest
}

// rootsAfter are the root documents a node lacks, in order, and the newest version.
func (s *shelf) rootsAfter(version uint64) (missing [][]byte, newest uint64) {
	for v := range s.roots {
		newest = max(newest, v)
	}
	for v := version + 1; v <= newest && s.roots[v] != nil; v++ {
		missing = append(missing, s.roots[v])
	}
	return missing, newest
}
