package salvage

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// Place is where a containerd keeps what it has.
type Place struct {
	Root    string // what survives a power cut
	State   string // sockets and tasks
	Address string // its socket
}

// DefaultConfig is where containerd looks for its configuration.
const DefaultConfig = "/etc/containerd/config.toml"

// defaults are containerd's own.
var defaults = [...]string{"/var/lib/containerd", "/run/containerd", "/run/containerd/containerd.sock"}

// Locate reads from a configuration of containerd where it keeps what it has. Without
// such a file all is as containerd has it by default. Only the three keys are read, in the
// one way in which they are written by hand and by `containerd config default`; of files
// that are imported nothing is known.
func Locate(config string) (Place, error) {
	place := Place{Root: defaults[0], State: defaults[1], Address: defaults[2]}
	file, err := os.Open(config)
	if errors.Is(err, fs.ErrNotExist) {
		return place, nil
	}
	if err != nil {
		return place, fmt.Errorf("cannot read configuration of containerd: %w", err)
	}
	defer file.Close()
	section := ""
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if strings.HasPrefix(line, "[") {
			section = strings.Trim(line, "[] \t")
			continue
		}
		key, value, found := strings.Cut(line, "=")
		text, ok := tomlString(value)
		if !found || !ok || text == "" {
			continue
		}
		place.set(section, strings.TrimSpace(key), text)
	}
	if err := lines.Err(); err != nil {
		return place, fmt.Errorf("cannot read configuration of containerd: %w", err)
	}
	return place, nil
}

func (p *Place) set(section, key, text string) {
	switch section + "." + key {
	case ".root":
		p.Root = text
	case ".state":
		p.State = text
	case "grpc.address", "plugins.'io.containerd.server.v1.grpc'.address", `plugins."io.containerd.server.v1.grpc".address`:
		p.Address = text
	}
}

// tomlString reads a string of one line, plain or literal, with what may follow it.
func tomlString(value string) (string, bool) {
	value = strings.TrimSpace(value)
	if literal, found := strings.CutPrefix(value, "'"); found {
		text, _, closed := strings.Cut(literal, "'")
		return text, closed
	}
	quoted, err := strconv.QuotedPrefix(value)
	if err != nil || !strings.HasPrefix(quoted, `"`) {
		return "", false
	}
	text, err := strconv.Unquote(quoted)
	return text, err == nil
}
