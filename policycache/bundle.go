package policycache

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"holdfast/edge/boltfile"
	"holdfast/edge/trust"
)

// bundle is the content of policy.A or policy.B: a policy, and the roots that lead
// from the flashed one to whoever signed it. Each line after the first is an
// envelope, so the file verifies by itself.
//
//	holdfast-policy 1 <version of the root the policy was accepted under>
//	<envelope of a root>      as many as there are
//	<envelope of the policy>  the last line
type bundle struct {
	roots [][]byte
	slot
}

const (
	bundleHead = "holdfast-policy 1 %d\n"
	// maxBundle is room for sixteen roots of the largest size; an ordinary one has 2 KB.
	maxBundle = 17 * trust.MaxEnvelope
)

func (b bundle) encode() []byte {
	out := fmt.Appendf(nil, bundleHead, b.root)
	for _, envelope := range b.roots {
		out = append(append(out, envelope...), '\n')
	}
	return append(append(out, b.envelope...), '\n')
}

func decodeBundle(content []byte) (bundle, error) {
	var b bundle
	head, rest, found := bytes.Cut(content, []byte("\n"))
	if _, err := fmt.Sscanf(string(head)+"\n", bundleHead, &b.root); err != nil || !found {
		return bundle{}, errors.New("cannot read policy copy: no head")
	}
	lines := bytes.Split(bytes.TrimSuffix(rest, []byte("\n")), []byte("\n"))
	b.roots, b.envelope = lines[:len(lines)-1], lines[len(lines)-1]
	return b, nil
}

// oneLine is an envelope without the white space its sender may have put in.
func oneLine(envelope []byte) []byte {
	var out bytes.Buffer
	if json.Compact(&out, envelope) != nil {
		return envelope // not JSON: it will be refused for that
	}
	return out.Bytes()
}

func (s *Store) copyPath(name string) string { return s.path("policy." + name) }

// readCopies reads policy.A and policy.B. What is not there or not readable is left
// out; whether to believe the rest is for the signatures to say.
func (s *Store) readCopies() map[string]bundle {
	found := map[string]bundle{}
	s.copies = map[string][]byte{}
	for _, name := range slotNames {
		content, err := boltfile.ReadBounded(s.copyPath(name), maxBundle)
		if err != nil {
			continue
		}
		s.copies[name] = content
		if b, err := decodeBundle(content); err == nil {
			found[name] = b
		}
	}
	return found
}

// writeCopies brings the files that lie beside the database up to a state. Those that
// say the right thing already are not touched.
func (s *Store) writeCopies(st state) error {
	for _, name := range slotNames {
		kept, used := st.slots[name]
		if !used {
			continue
		}
		content := bundle{roots: st.roots, slot: kept}.encode()
		if bytes.Equal(content, s.copies[name]) {
			continue
		}
		if err := boltfile.Replace(s.options.Disk, s.copyPath(name), content); err != nil {
			return fmt.Errorf("cannot write policy copy %q: %w", name, err)
		}
		s.copies[name] = content
	}
	return nil
}

// dropCopies removes the files of policies that were given up.
func (s *Store) dropCopies(st state) error {
	dropped := false
	for _, name := range slotNames {
		if _, used := st.slots[name]; used || s.copies[name] == nil {
			continue
		}
		if err := s.options.Disk.Remove(s.copyPath(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("cannot remove policy copy %q: %w", name, err)
		}
		delete(s.copies, name)
		dropped = true
	}
	if !dropped {
		return nil
	}
	return s.options.Disk.SyncDir(s.options.Dir)
}
