package containerd

import (
	"fmt"
	"strings"

	"holdfast/edge"
)

// badLayer are the words by which the daemon says that a layer is at fault, and not the
// disk or the kernel: its own, and those of the readers it takes layers apart with. It
// writes a layer into a place of its own, holds what came out against the image's
// configuration, and makes it part of the image only then.
var badLayer = [...]string{
	"wrong diff id", "archive/tar: ", "gzip: ", "flate: ", "zstd: ", "unexpected EOF", "magic number mismatch",
	"unsupported stream",
}

// layerError makes an error of unpacking one that says whose fault it is.
func layerError(err error) error {
	if err == nil || isOurs(err) || isFull(err) {
		return err
	}
	for _, words := range badLayer {
		if strings.Contains(err.Error(), words) {
			return edge.WithHint(fmt.Errorf("%w: %w", edge.ErrInvalid, err),
				"the image was built or pushed badly: every part is what its name says, and together they are no image; build it anew")
		}
	}
	return err
}
