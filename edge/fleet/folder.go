package fleet

import (
	"bytes"
	"context"
	"crypto/ed25519"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"holdfast/edge"
	"holdfast/edge/trust"
)

// The files of a fleet's folder.
const (
	KeysFolder    = "keys"
	RootSource    = "root.yaml"
	RootFile      = "root.json"
	PolicyExample = "policy.yaml"
)

//go:embed example.yaml
var example []byte

// Quorum is how many keys a role gets and how many of them must sign.
type Quorum struct{ Keys, Threshold int }

// DefaultQuorums are those of a fleet that says nothing else: the root survives the
// loss of one key and the theft of one, and what is dangerous can be commanded by two.
func DefaultQuorums() map[trust.Role]Quorum {
	return map[trust.Role]Quorum{
		trust.RoleRoot: {3, 2}, trust.RolePolicy: {1, 1}, trust.RoleCommand: {2, 1},
		trust.RoleFreshness: {1, 1}, trust.RoleRelease: {1, 1},
	}
}

// ParseQuorum reads root=2/3: two of three keys.
func ParseQuorum(text string) (trust.Role, Quorum, error) {
	name, counts, _ := strings.Cut(text, "=")
	threshold, keys, _ := strings.Cut(counts, "/")
	role := trust.Role(name)
	k, err := strconv.Atoi(keys)
	t, err2 := strconv.Atoi(threshold)
	if role.PayloadType() == "" || err != nil || err2 != nil || t < 1 || k < t || k > trust.MaxSignatures/2 {
		return "", Quorum{}, edge.WithHint(fmt.Errorf("cannot read quorum %q: %w", text, edge.ErrInvalid),
			fmt.Sprintf("write root=2/3 for two of three keys; roles are %v, and at most %d keys", trust.Roles, trust.MaxSignatures/2))
	}
	return role, Quorum{Keys: k, Threshold: t}, nil
}

// Made is what Init wrote.
type Made struct {
	Folder string      `json:"folder"`
	Keys   []MadeKey   `json:"keys"`
	Files  []string    `json:"files"`
	Root   *trust.Root `json:"-"`
}

// MadeKey is one key of a new fleet.
type MadeKey struct {
	Role trust.Role `json:"role"`
	ID   string     `json:"id"`
	File string     `json:"file"`
}

// Init makes a fleet's folder: private and public keys, the root document as it is
// written and as it is signed, and a first policy to begin from. The folder must be
// empty or not there; on an error nothing is left of what was written. random is
// crypto/rand's Reader but in tests.
func Init(ctx context.Context, folder string, quorums map[trust.Role]Quorum, random io.Reader) (_ *Made, err error) {
	n := &newFolder{made: Made{Folder: folder}}
	defer func() {
		if err != nil {
			n.undo()
		}
	}()
	if err := n.enter(folder); err != nil {
		return nil, err
	}
	if err := n.keys(quorums, random); err != nil {
		return nil, err
	}
	if err := n.root(ctx, quorums); err != nil {
		return nil, err
	}
	if err := n.file(PolicyExample, example); err != nil {
		return nil, err
	}
	return &n.made, nil
}

// newFolder is a folder being filled.
type newFolder struct {
	made    Made
	secrets []ed25519.PrivateKey // of the role root
	written []string             // to take away again, the last first
}

func (n *newFolder) undo() {
	for i := len(n.written) - 1; i >= 0; i-- {
		os.Remove(n.written[i])
	}
}

func (n *newFolder) enter(folder string) error {
	switch entries, err := os.ReadDir(folder); {
	case err == nil && len(entries) > 0:
		return edge.WithHint(fmt.Errorf("cannot begin a fleet in %q, it is not empty: %w", folder, edge.ErrExists),
			"name a folder that is not there; nothing is written over")
	case errors.Is(err, os.ErrNotExist):
		if err := n.mkdir(folder, 0o755); err != nil {
			return err
		}
	case err != nil:
		return fmt.Errorf("cannot begin a fleet: %w", err)
	}
	return n.mkdir(filepath.Join(folder, KeysFolder), 0o700)
}

func (n *newFolder) mkdir(folder string, mode os.FileMode) error {
	if err := os.Mkdir(folder, mode); err != nil {
		return fmt.Errorf("cannot make folder: %w", err)
	}
	n.written = append(n.written, folder)
	return nil
}

func (n *newFolder) file(name string, content []byte) error {
	path := filepath.Join(n.made.Folder, name)
	if err := create(path, content, 0o644); err != nil {
		return err
	}
	n.written = append(n.written, path)
	n.made.Files = append(n.made.Files, path)
	return nil
}

func (n *newFolder) keys(quorums map[trust.Role]Quorum, random io.Reader) error {
	for _, role := range trust.Roles {
		for i := range quorums[role].Keys {
			path := filepath.Join(n.made.Folder, keyFile(role, i))
			key, err := Keygen(path, random)
			if err != nil {
				return err
			}
			n.written = append(n.written, path, path+PublicSuffix)
			n.made.Keys = append(n.made.Keys, MadeKey{role, key.ID, path})
			if role != trust.RoleRoot {
				continue
			}
			private, err := ReadPrivateKey(path)
			if err != nil {
				return err
			}
			n.secrets = append(n.secrets, private)
		}
	}
	return nil
}

func keyFile(role trust.Role, i int) string {
	return filepath.Join(KeysFolder, string(role)+"-"+itoa(i+1)+".key")
}

// root writes the root document as a person would, builds and signs it.
func (n *newFolder) root(ctx context.Context, quorums map[trust.Role]Quorum) error {
	source := rootSource(quorums)
	built, err := Build(ctx, Source{Path: filepath.Join(n.made.Folder, RootSource), Content: source})
	if err != nil {
		return err
	}
	envelope, err := trust.Sign(trust.TypeRoot, built.Payload, n.secrets...)
	if err != nil {
		return err
	}
	if n.made.Root, err = trust.FirstRoot(envelope); err != nil {
		return err
	}
	return errors.Join(n.file(RootSource, source), n.file(RootFile, append(envelope, '\n')))
}

func rootSource(quorums map[trust.Role]Quorum) []byte {
	var b bytes.Buffer
	b.WriteString("# Which keys hold which role, and how many of them must sign. To rotate keys raise\n" +
		"# the version by one, build, and sign with enough of the old root keys and the new.\n" +
		"apiVersion: holdfast/v1\nkind: Root\nversion: 1\nroles:\n")
	for _, role := range trust.Roles {
		quorum := quorums[role]
		if quorum.Keys == 0 {
			continue
		}
		files := make([]string, quorum.Keys)
		for i := range files {
			files[i] = keyFile(role, i) + PublicSuffix
		}
		fmt.Fprintf(&b, "  %s: {threshold: %d, keys: [%s]}\n", role, quorum.Threshold, strings.Join(files, ", "))
	}
	return b.Bytes()
}
