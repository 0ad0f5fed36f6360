package artefact

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
)

// System reads the agent out of the file system of a gateway's system.
func System(ctx context.Context, file string) (Said, error) {
	var said Said
	err := piped(exec.CommandContext(ctx, "unsquashfs", "-no-progress", "-cat", file, program), func(from io.Reader) (err error) {
		said.Program, err = sumOf(from)
		return err
	})
	return said, err
}

// Disk is the sum of what a packed image of a disk unpacks to.
func Disk(ctx context.Context, file string) (sum string, err error) {
	err = piped(exec.CommandContext(ctx, "zstd", "--decompress", "--stdout", "--quiet", file), func(from io.Reader) (err error) {
		sum, err = sumOf(from)
		return err
	})
	return sum, err
}

// Bundle reads which system a bundle of rauc's installs, by its version and the sum of its
// file system. With a keyring its signature has to be one of that.
func Bundle(ctx context.Context, file, keyring string) (said Said, system string, err error) {
	words := []string{"info", "--output-format=json", "--no-verify", file}
	if keyring != "" {
		words = []string{"info", "--output-format=json", "--keyring=" + keyring, file}
	}
	var facts struct {
		Compatible, Version string
		Images              []map[string]struct{ Checksum string }
	}
	err = piped(exec.CommandContext(ctx, "rauc", words...), func(from io.Reader) error {
		return json.NewDecoder(from).Decode(&facts)
	})
	if err != nil {
		return Said{}, "", err
	}
	for _, image := range facts.Images {
		system = image["rootfs"].Checksum
	}
	return Said{Version: facts.Version, Arch: facts.Compatible}, system, nil
}

// piped reads what a program prints as it comes.
func piped(cmd *exec.Cmd, read func(io.Reader) error) error {
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot run %s: %w", cmd.Args[0], err)
	}
	readErr := read(out)
	_, _ = io.Copy(io.Discard, out) // what is not read would keep it from ending
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("cannot run %s: %w\n%s", cmd.Args[0], err, &complaints)
	}
	return readErr
}
