package fleet

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"holdfast/edge"
)

// ReleaseWords are what a release says of itself, beside its programs.
type ReleaseWords struct {
	Version  string
	Sequence uint64
	Replaces uint64
	Notes    string
}

// BuildRelease reads the programs of a folder, each named as edge.ArtifactFile names it,
// and gives the document of the release that is to be signed.
func BuildRelease(folder string, words ReleaseWords) (*edge.Release, []byte, error) {
	release := &edge.Release{
		Version: words.Version, Sequence: words.Sequence, Replaces: words.Replaces, Notes: words.Notes,
		Artifacts: map[string]edge.Artifact{},
	}
	files, err := filepath.Glob(filepath.Join(folder, edge.ArtifactFile("linux/*")))
	if err != nil {
		return nil, nil, fmt.Errorf("cannot build release of %q: %w: %w", folder, edge.ErrInvalid, err)
	}
	for _, file := range files {
		machine := strings.TrimPrefix(filepath.Base(file), edge.ArtifactFile("linux/"))
		if release.Artifacts["linux/"+machine], err = measure(file, machine); err != nil {
			return nil, nil, fmt.Errorf("cannot build release: %w", err)
		}
	}
	if len(files) == 0 {
		return nil, nil, edge.WithHint(fmt.Errorf("cannot build release: there is no program in %q: %w", folder, edge.ErrNotFound),
			"name them as "+edge.ArtifactFile("linux/amd64")+", "+edge.ArtifactFile("linux/arm64"))
	}
	payload, err := release.Encode()
	return release, payload, err
}

// CheckRelease holds the programs that lie in a folder against the release, and gives the
// platforms whose program lies there.
func CheckRelease(release *edge.Release, folder string) (platforms []string, err error) {
	for _, platform := range slices.Sorted(maps.Keys(release.Artifacts)) {
		path := filepath.Join(folder, edge.ArtifactFile(platform))
		found, err := measure(path, strings.TrimPrefix(platform, "linux/"))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return platforms, err
		case found.Digest != release.Artifacts[platform].Digest:
			return platforms, fmt.Errorf("program %q is not the one of release %s: its digest is %s, not %s: %w",
				path, release.Version, found.Digest, release.Artifacts[platform].Digest, edge.ErrInvalid)
		case !slices.Equal(found.Pieces, release.Artifacts[platform].Pieces):
			return platforms, fmt.Errorf("program %q has other pieces than release %s says: %w", path, release.Version, edge.ErrInvalid)
		}
		platforms = append(platforms, platform)
	}
	return platforms, nil
}

// measure reads a program once, by pieces.
func measure(path, machine string) (a edge.Artifact, err error) {
	file, err := os.Open(path)
	if err != nil {
		return a, fmt.Errorf("cannot read program: %w", err)
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() > edge.MaxArtifact {
		return a, fmt.Errorf("cannot read program %q: it is no regular file of at most %d bytes: %w", path, edge.MaxArtifact, edge.ErrInvalid)
	}
	whole, buffer := sha256.New(), make([]byte, edge.PieceSize)
	for {
		n, err := io.ReadFull(file, buffer)
		if n == 0 {
			break
		}
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return a, fmt.Errorf("cannot read program %q: %w", path, err)
		}
		if err := isFor(buffer[:n], machine); a.Size == 0 && err != nil {
			return a, fmt.Errorf("cannot take program %q: %w", path, err)
		}
		piece := sha256.Sum256(buffer[:n])
		whole.Write(buffer[:n])
		a.Size += int64(n)
		a.Pieces = append(a.Pieces, digestPrefix+hex.EncodeToString(piece[:]))
	}
	a.Digest = digestPrefix + hex.EncodeToString(whole.Sum(nil))
	return a, nil
}

// isFor finds a program in the wrong file, which a node would get and then refuse: by the
// machine that the head of an ELF file names. A machine we do not build for is not judged.
func isFor(head []byte, machine string) error {
	if len(head) < 20 || string(head[:4]) != "\x7fELF" {
		return fmt.Errorf("it is no ELF program: %w", edge.ErrInvalid)
	}
	numbers := map[string]uint16{"386": 3, "armv5": 40, "armv6": 40, "armv7": 40, "amd64": 62, "arm64": 183, "riscv64": 243}
	is := uint16(head[18]) | uint16(head[19])<<8
	if want, known := numbers[machine]; known && is != want {
		return fmt.Errorf("it is for ELF machine %d, and %s is %d: %w", is, machine, want, edge.ErrInvalid)
	}
	return nil
}
