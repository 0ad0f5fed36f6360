package edge

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// ReleaseKind is the kind a release document names.
const ReleaseKind = "Release"

// The names of a release folder, on a web server or on a stick: the signed document, and
// beside it a program for each platform.
const (
	ReleaseFile   = "holdfast-release.json"
	releasePrefix = "holdfast-"
)

const (
	// PieceSize is how much of a program is checked at once: what a bad line costs.
	PieceSize = 1 << 20
	// MaxArtifact bounds one program, at more than twice what it is today.
	MaxArtifact = 64 << 20
	// MaxRelease bounds a release document: six platforms take 14 KiB.
	MaxRelease = 48 << 10
	// MaxVersionText bounds the words of a version.
	MaxVersionText = 64

	maxArtifacts    = 16
	maxNotes        = 4 << 10
	maxReleaseDepth = 8
)

// Release is a version of the agent itself, as it is signed.
type Release struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Version    string `json:"version"`  // what the program says of itself
	Sequence   uint64 `json:"sequence"` // from 1; a node never goes back
	// Replaces is the lowest sequence that this release may take the place of; 0: any. The
	// program a node was flashed with has none, and counts as 0.
	Replaces  uint64              `json:"replaces,omitempty"`
	Notes     string              `json:"notes,omitempty"`
	Artifacts map[string]Artifact `json:"artifacts"` // by platform, such as linux/arm64
}

// Artifact is the program for one platform.
type Artifact struct {
	Size   int64    `json:"size"`
	Digest string   `json:"digest"` // sha256:…
	Pieces []string `json:"pieces"` // digests of PieceSize bytes each, the last of what is left
}

// ArtifactFile is what the program for a platform is called in a release folder.
func ArtifactFile(platform string) string {
	return releasePrefix + strings.ReplaceAll(platform, "/", "-")
}

// DecodeRelease reads the payload of a verified release document. Every defect is a
// *JSONError or a *FieldProblem. Fields it does not know are passed over: a later version
// of the agent may say more of itself than an earlier one asks.
func DecodeRelease(payload []byte) (*Release, error) {
	r := &Release{}
	if _, err := DecodeJSON(payload, JSONBounds{Size: MaxRelease, Depth: maxReleaseDepth}, r); err != nil {
		return nil, fmt.Errorf("cannot decode release: %w", err)
	}
	if err := r.Check(); err != nil {
		return nil, fmt.Errorf("cannot decode release: %w", err)
	}
	return r, nil
}

// Encode writes the release in its canonical form, after the checks that meet it on
// arrival. The version and kind are filled in.
func (r Release) Encode() ([]byte, error) {
	r.APIVersion, r.Kind = APIVersion, ReleaseKind
	if err := r.Check(); err != nil {
		return nil, fmt.Errorf("cannot encode release %q: %w", r.Version, err)
	}
	payload, err := CanonicalJSON(r)
	if err == nil {
		_, err = DecodeRelease(payload)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot encode release %q: %w", r.Version, err)
	}
	return payload, nil
}

// Check finds what no release may say. Every defect is a *FieldProblem.
func (r *Release) Check() error {
	c := checker{}
	c.require(r.APIVersion == APIVersion, "apiVersion", quoteShort(r.APIVersion)+" is not "+APIVersion)
	c.require(r.Kind == ReleaseKind, "kind", quoteShort(r.Kind)+" is not "+ReleaseKind)
	c.require(isVersionText(r.Version), "version", fmt.Sprintf("must be 1 to %d printable characters without spaces", MaxVersionText))
	c.require(r.Sequence >= 1 && r.Sequence <= maxSafeInteger, "sequence", "must be a whole number from 1")
	c.require(r.Replaces <= r.Sequence, "replaces", "is above the release's own sequence")
	c.require(len(r.Notes) <= maxNotes, "notes", fmt.Sprintf("have more than %d bytes", maxNotes))
	c.count(len(r.Artifacts), 1, maxArtifacts, "artifacts")
	for _, platform := range sorted(r.Artifacts) {
		at := "artifacts." + platform
		c.require(isPlatform(platform), at, "must be named linux/ and an architecture, such as linux/arm64")
		r.Artifacts[platform].check(&c, at+".")
	}
	return c.err()
}

func (a Artifact) check(c *checker, at string) {
	c.require(a.Size >= 1 && a.Size <= MaxArtifact, at+"size", fmt.Sprintf("%d is not between 1 and %d", a.Size, MaxArtifact))
	c.require(IsDigest(a.Digest), at+"digest", "is no sha256:… digest")
	pieces := (a.Size + PieceSize - 1) / PieceSize
	c.require(int64(len(a.Pieces)) == pieces, at+"pieces", fmt.Sprintf("%d digests for %d pieces", len(a.Pieces), pieces))
	for i, piece := range a.Pieces {
		c.require(IsDigest(piece), fmt.Sprintf("%spieces[%d]", at, i), "is no sha256:… digest")
	}
}

// isVersionText tells whether text may stand in a status line, a metric and a log as it is.
func isVersionText(text string) bool {
	return text != "" && len(text) <= MaxVersionText && strings.IndexFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

// isPlatform knows the one operating system there is, and takes any name for the machine.
func isPlatform(text string) bool {
	machine, linux := strings.CutPrefix(text, "linux/")
	return linux && machine != "" && len(machine) <= 16 && strings.Trim(machine, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}

// IsDigest tells whether text is sha256: and 64 digits in lower case.
func IsDigest(text string) bool {
	sum, is := strings.CutPrefix(text, "sha256:")
	raw, err := hex.DecodeString(sum)
	return is && err == nil && len(raw) == 32 && strings.ToLower(sum) == sum
}
