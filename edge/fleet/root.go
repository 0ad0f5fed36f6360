package fleet

import (
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"holdfast/edge/compose"
	"holdfast/edge/trust"
)

// authoredRoot is a root document as a person writes it: public keys by file.
type authoredRoot struct {
	APIVersion string                   `json:"apiVersion"`
	Kind       string                   `json:"kind"`
	Version    uint64                   `json:"version"`
	Roles      map[string]authoredGrant `json:"roles"`
}

type authoredGrant struct {
	Keys        []string `json:"keys"` // public key files, from the folder of the document
	Threshold   int      `json:"threshold"`
	Description string   `json:"description,omitempty"`
}

// root reads an authored root document and the keys it names.
func (b *builder) root() *Built {
	var authored authoredRoot
	b.decode(b.document.Values(), &authored)
	if len(b.problems) > 0 {
		return nil
	}
	var keys []trust.Key
	roles := map[trust.Role]trust.Grant{}
	for _, name := range slices.Sorted(maps.Keys(authored.Roles)) {
		role := trust.Role(name)
		if role.PayloadType() == "" {
			b.add("roles."+name, "there is no such role", b.nearestRole(name))
			continue
		}
		held := b.publicKeys("roles."+name+".keys", authored.Roles[name].Keys)
		keys = append(keys, held...)
		roles[role] = trust.Grant{KeyIDs: idsOf(held), Threshold: authored.Roles[name].Threshold, Description: authored.Roles[name].Description}
	}
	if len(b.problems) > 0 {
		return nil
	}
	root, err := trust.NewRoot(authored.Version, keys, roles)
	var payload []byte
	if err == nil {
		payload, err = root.Encode()
	}
	if err != nil {
		detail := err.Error()
		var refusal *trust.Refusal
		if errors.As(err, &refusal) {
			detail = strings.TrimPrefix(refusal.Detail, "root: ")
		}
		b.add("roles", detail, "")
		return nil
	}
	return &Built{Root: root, Payload: payload, Notes: b.notes}
}

func (b *builder) nearestRole(name string) string {
	names := make([]string, len(trust.Roles))
	for i, role := range trust.Roles {
		names[i] = string(role)
	}
	if guess := didYouMean(compose.Nearest(name, names)); guess != "" {
		return guess
	}
	return fmt.Sprintf("write one of %v", names)
}

func (b *builder) publicKeys(path string, files []string) []trust.Key {
	var keys []trust.Key
	for i, name := range files {
		if !filepath.IsAbs(name) {
			name = filepath.Join(filepath.Dir(b.Path), name)
		}
		key, err := ReadPublicKey(name)
		if err != nil {
			b.add(path+"["+itoa(i)+"]", err.Error(), "name a public key file, written by `holdfast policy keygen`")
			continue
		}
		keys = append(keys, key)
	}
	return keys
}

func idsOf(keys []trust.Key) []string {
	ids := make([]string, len(keys))
	for i, key := range keys {
		ids[i] = key.ID
	}
	return ids
}

// isPrivate tells a private key file from everything else without reading the key.
func isPrivate(file []byte) bool {
	block, _ := pem.Decode(file)
	return block != nil && len(block.Bytes) > ed25519.PublicKeySize && block.Type == "PRIVATE KEY"
}
