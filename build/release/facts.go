package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"holdfast/build/packages/stamp"
	"holdfast/edge"
)

// factsFile says what was built of what.
const factsFile = "holdfast-build.json"

// facts are what every file of a release is held against.
type facts struct {
	Version  string   `json:"version"` // as the programs say it
	Commit   string   `json:"commit"`
	Changed  bool     `json:"changed,omitempty"` // there were changes that the commit has not
	Epoch    int64    `json:"epoch"`             // the time of all files, in seconds since 1970
	Go       string   `json:"go"`
	Sequence uint64   `json:"sequence"`
	Replaces uint64   `json:"replaces,omitempty"`
	Notes    string   `json:"notes,omitempty"`
	Programs []string `json:"programs"`
	Gateways []string `json:"gateways"`
	// Of a developer's keys, which anybody with that checkout has.
	DeveloperSigned bool `json:"developerSigned,omitempty"`
	DeveloperImages bool `json:"developerImages,omitempty"`
}

func readFacts(folder string) (facts, error) {
	var f facts
	text, err := os.ReadFile(filepath.Join(folder, factsFile))
	if err != nil {
		return f, edge.WithHint(fmt.Errorf("cannot read release: %w", err), "name a folder that `make release` made")
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return f, fmt.Errorf("cannot read %q of %q: %w", factsFile, folder, err)
	}
	if len(f.Programs) == 0 {
		return f, fmt.Errorf("cannot read %q of %q: it names no program: %w", factsFile, folder, edge.ErrInvalid)
	}
	for _, name := range append(slices.Clone(f.Programs), f.Gateways...) {
		if _, err := machineOf(name); err != nil {
			return f, err
		}
	}
	return f, nil
}

func (f facts) write(folder string) error {
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot encode facts: %w", err)
	}
	return put(filepath.Join(folder, factsFile), append(text, '\n'))
}

// stamped is the version as the kinds of packages write it.
func (f facts) stamped() (stamp.Version, error) {
	return stamp.Parse(f.Version, time.Unix(f.Epoch, 0).UTC())
}

// machine is a kind of machine that releases have files for, as each kind of file calls it.
type machine struct {
	name, goarch, platform string
	deb, rpm, apk          string
}

// machines are all there are: those that the Makefile names SHIPPED.
func machines() []machine {
	return []machine{
		{"amd64", "amd64", "linux/amd64", "amd64", "x86_64", "x86_64"},
		{"arm64", "arm64", "linux/arm64", "arm64", "aarch64", "aarch64"},
		{"armv7", "arm", "linux/arm/v7", "armhf", "armv7hl", "armv7"},
	}
}

func machineOf(name string) (machine, error) {
	all := machines()
	at := slices.IndexFunc(all, func(m machine) bool { return m.name == name })
	if at < 0 {
		return machine{}, fmt.Errorf("cannot release for %q: it is none of amd64, arm64, armv7: %w", name, edge.ErrInvalid)
	}
	return all[at], nil
}

// program is the agent's file for it.
func (m machine) program() string { return edge.ArtifactFile("linux/" + m.name) }

// put writes a file that anybody may read.
func put(file string, content []byte) error {
	if err := os.WriteFile(file, content, 0o644); err != nil {
		return fmt.Errorf("cannot write: %w", err)
	}
	return os.Chmod(file, 0o644) // whatever umask says
}
