package fleet

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"holdfast/edge"
)

// Pins say what the names of images stand for: a name as it is fully written out, to
// sha256:… of what an archive's index points at, which is what a node knows the image
// by.
type Pins map[string]string

// digestPrefix begins every digest there is here.
const digestPrefix = "sha256:"

func isDigest(text string) bool {
	sum, is := strings.CutPrefix(text, digestPrefix)
	raw, err := hex.DecodeString(sum)
	return is && err == nil && len(raw) == 32 && sum == strings.ToLower(sum)
}

// Add takes name=sha256:… from a command line.
func (p Pins) Add(pin string) error {
	name, digest, _ := strings.Cut(pin, "=")
	if name == "" || strings.ContainsAny(name, "@ \t\r\n\x00") || !isDigest(digest) {
		return edge.WithHint(fmt.Errorf("cannot pin image %q: %w", pin, edge.ErrInvalid),
			"write name=sha256: and 64 hexadecimal digits; `holdfast images list` shows them on a node")
	}
	return p.set(name, digest)
}

func (p Pins) set(name, digest string) error {
	name = writtenOut(name)
	if other, known := p[name]; known && other != digest {
		return edge.WithHint(fmt.Errorf("cannot pin image %q: it is %s in one place and %s in another: %w", name, other, digest, edge.ErrInvalid),
			"keep one of them")
	}
	p[name] = digest
	return nil
}

// pin adds its digest to a reference that has none. The tag stays, for people.
func (p Pins) pin(image string) (string, bool) {
	if strings.Contains(image, "@") {
		return image, true // whether it is a digest is checked with the rest
	}
	digest, known := p[writtenOut(image)]
	return image + "@" + digest, known
}

// unused lists the pins given that no workload needed.
func (p Pins) unused(workloads []edge.Workload) []string {
	left := maps.Clone(p)
	for _, w := range workloads {
		name, _, _ := strings.Cut(w.Image, "@")
		delete(left, writtenOut(name))
	}
	return slices.Sorted(maps.Keys(left))
}

// writtenOut gives the one long form of a reference that can be written in several:
// busybox is docker.io/library/busybox:latest.
func writtenOut(name string) string {
	first, _, hasPath := strings.Cut(name, "/")
	switch {
	case !hasPath:
		name = "docker.io/library/" + name
	case !strings.ContainsAny(first, ".:") && first != "localhost":
		name = "docker.io/" + name
	}
	if !strings.Contains(name[strings.LastIndexByte(name, '/')+1:], ":") {
		name += ":latest"
	}
	return name
}
