package desk

import (
	"crypto/sha256"
	"encoding/hex"
)

const digestPrefix = "sha256:"

// digestOf is what a node reports of a policy: the digest of its signed payload.
func digestOf(payload []byte) string {
	sum := sha256.Sum256(payload)
	return digestPrefix + hex.EncodeToString(sum[:])
}
