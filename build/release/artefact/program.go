package artefact

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"

	"holdfast/edge"
)

// emulators start programs for other machines than this one.
var emulators = map[string]string{"amd64": "qemu-x86_64-static", "arm64": "qemu-aarch64-static", "arm": "qemu-arm-static"}

// Program starts the agent and asks it who it is; goarch is the kind of machine it is for,
// as Go calls it.
func Program(ctx context.Context, file, goarch string) (Said, error) {
	path, err := filepath.Abs(file)
	if err != nil {
		return Said{}, err
	}
	words := []string{path, "version", "-o", "json"}
	if goarch != goruntime.GOARCH {
		words = append([]string{emulators[goarch]}, words...)
		if _, err := exec.LookPath(words[0]); err != nil {
			return Said{}, edge.WithHint(fmt.Errorf("cannot start %q here: %w", file, err), "run build/provision/provision.sh --only release")
		}
	}
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Env = []string{"HOME=/", "PATH=" + os.Getenv("PATH")} // no configuration of this machine's
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		return Said{}, fmt.Errorf("cannot ask %q for its version: %w: %s", file, err, &complaints)
	}
	var facts struct{ Version, Platform string }
	if err := json.Unmarshal(out, &facts); err != nil {
		return Said{}, fmt.Errorf("cannot read what %q says: %w", file, err)
	}
	sum, err := Sum(file)
	return Said{Version: facts.Version, Arch: facts.Platform, Program: sum}, err
}

// Bill reads a document of what something is made of: its version, and the sum of the program
// that it is of, or of the agent of that version in it.
func Bill(file string) (Said, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return Said{}, fmt.Errorf("cannot read bill: %w", err)
	}
	type hash struct{ Alg, Content string }
	type component struct {
		Name, Version string
		Hashes        []hash
	}
	var doc struct {
		Metadata   struct{ Component component }
		Components []component
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		return Said{}, fmt.Errorf("cannot read bill %q: %w", file, err)
	}
	subject := doc.Metadata.Component
	said := Said{Version: subject.Version}
	if len(subject.Hashes) > 0 { // it is of a program
		said.Program = subject.Hashes[0].Content
		return said, nil
	}
	for _, c := range doc.Components {
		if c.Name == "holdfast" && c.Version == said.Version && len(c.Hashes) > 0 {
			said.Program = c.Hashes[0].Content
		}
	}
	return said, nil
}
