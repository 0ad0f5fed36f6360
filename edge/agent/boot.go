package agent

import (
	"crypto/rand"
	"strings"

	"holdfast/edge"
)

const bootIDPath = "/proc/sys/kernel/random/boot_id"

// bootID is the kernel's name for this boot of the machine. Where there is none, each
// start of the agent counts as a boot, which keeps what must not be repeated from
// being taken for unbegun.
func bootID() string {
	text, err := readRegular(bootIDPath, 64)
	if id := strings.TrimSpace(string(text)); err == nil && edge.IsName(id) {
		return id
	}
	return rand.Text()
}
