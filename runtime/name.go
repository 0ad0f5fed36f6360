package runtime

import (
	"crypto/rand"
	"encoding/hex"
	"strings"

	"holdfast/edge"
)

// maxIDStem leaves room for the random part within the 76 bytes containerd allows
// an identifier.
const maxIDStem = 60

// newID names an instance: its app and service, so that lists sort by them and
// people know it, and three random bytes, so that no two ever share a name.
func newID(w edge.Workload) string {
	var random [3]byte
	rand.Read(random[:]) // never fails: the documentation of crypto/rand promises it
	return idStem(w.App+"-"+w.Name) + "-" + hex.EncodeToString(random[:])
}

// idStem keeps letters and digits and puts single dashes between them, the form
// every container runtime accepts.
func idStem(name string) string {
	words := strings.FieldsFunc(name, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9')
	})
	stem := strings.Join(words, "-")
	if len(stem) > maxIDStem {
		stem = strings.TrimRight(stem[:maxIDStem], "-")
	}
	if stem == "" {
		return "instance"
	}
	return stem
}
