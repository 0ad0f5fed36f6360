package desk

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"

	"holdfast/edge"
	"holdfast/edge/fleet"
	"holdfast/edge/trust"
)

// KeepDocument keeps a signed policy or root document, for those who ask later. Nodes
// never go back, so one that is older than what is kept for the same nodes is refused, as
// is another of the same version.
func (f *Folder) KeepDocument(d *fleet.Document) error {
	release, err := f.lock()
	if err != nil {
		return err
	}
	defer release()
	if d.Policy == nil {
		return f.keepRoot(d)
	}
	m := d.Policy.Metadata
	if err := f.checkNewest(d); err != nil {
		return err
	}
	if !edge.IsName(m.Name) {
		m.Name = "policy"
	}
	name := fmt.Sprintf("%s-%d-%s.json", m.Name, m.Version, digestOf(d.Payload)[len(digestPrefix):][:8])
	return fleet.Write(filepath.Join(f.path, policiesFolder, name), d.Signed())
}

func (f *Folder) keepRoot(d *fleet.Document) error {
	path := filepath.Join(f.path, rootsFolder, fmt.Sprintf("%d.json", d.Root.Version))
	if before, err := fleet.ReadDocument(path); err == nil && !bytes.Equal(before.Payload, d.Payload) {
		return fmt.Errorf("cannot keep root document: another of version %d lies in %q: %w", d.Root.Version, path, edge.ErrExists)
	}
	return fleet.Write(path, d.Signed())
}

// checkNewest looks for a policy for the same nodes that must stay the newest. What
// cannot be read is nobody's newest.
func (f *Folder) checkNewest(d *fleet.Document) error {
	folder := filepath.Join(f.path, policiesFolder)
	entries, err := os.ReadDir(folder)
	if err != nil {
		return fmt.Errorf("cannot look into desk's folder: %w", err)
	}
	for _, entry := range entries {
		kept, err := fleet.ReadDocument(filepath.Join(folder, entry.Name()))
		if err != nil || kept.Policy == nil || !reflect.DeepEqual(kept.Policy.Metadata.Audience, d.Policy.Metadata.Audience) {
			continue
		}
		switch {
		case kept.Version() > d.Version():
			return fmt.Errorf("cannot keep %s version %d: the desk's folder has version %d, and a node never goes back: %w", d.Name(), d.Version(), kept.Version(), edge.ErrExists)
		case kept.Version() == d.Version() && !bytes.Equal(kept.Payload, d.Payload):
			return fmt.Errorf("cannot keep %s version %d: the desk's folder has another document of that version; give yours a higher one: %w", d.Name(), d.Version(), edge.ErrExists)
		}
	}
	return nil
}

// KeepCommand keeps a signed command under its id. What is kept comes back: the same
// id is the same bytes, so where there is one already it stays, unless the new one only
// bears more signatures. Another command of that id is refused.
func (f *Folder) KeepCommand(envelope []byte) (kept []byte, err error) {
	kept, _, err = f.keepCommand(envelope)
	return kept, err
}

// keepCommand is KeepCommand that can be undone.
func (f *Folder) keepCommand(envelope []byte) (kept []byte, undo func() error, err error) {
	command, _, err := OpenCommand(envelope)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot keep command: %w", err)
	}
	release, err := f.lock()
	if err != nil {
		return nil, nil, err
	}
	defer release()
	before, err := f.before(command.ID, envelope)
	if err != nil {
		return nil, nil, err
	}
	if before != nil && countSignatures(before) >= countSignatures(envelope) {
		return before, func() error { return nil }, nil
	}
	path := f.command(command.ID)
	undo = func() error {
		if before != nil {
			return fleet.Write(path, before)
		}
		return os.Remove(path)
	}
	return envelope, undo, fleet.Write(path, envelope)
}

// before is what is kept under an id, nil when there is nothing. It is refused if it is
// another command.
func (f *Folder) before(id string, envelope []byte) ([]byte, error) {
	kept, err := f.Command(id)
	if err != nil || kept == nil {
		return nil, err
	}
	_, old, err := OpenCommand(kept)
	if err != nil {
		return nil, fmt.Errorf("cannot read command kept as %q: %w", id, err)
	}
	opened, err := trust.Open(envelope)
	if err != nil || !bytes.Equal(old.Payload, opened.Payload) {
		return nil, taken(id)
	}
	return kept, nil
}

func countSignatures(envelope []byte) int {
	opened, err := trust.Open(envelope)
	if err != nil {
		return 0
	}
	return len(opened.Signatures)
}
