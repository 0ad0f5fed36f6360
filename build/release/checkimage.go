package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"holdfast/build/release/artefact"
)

// image is an archive with a program for each platform.
func (c checking) image(file, program, version string) error {
	said, err := artefact.Image(c.path(file), program)
	if err != nil {
		return err
	}
	if len(said) != len(c.Programs) {
		err = fmt.Errorf("%s: it is for %d platforms, want %d: %w", file, len(said), len(c.Programs), errDiffers)
	}
	for _, name := range c.Programs {
		m, nameErr := machineOf(name)
		want := artefact.Said{Version: version, Arch: m.goarch, Program: c.programs[name]}
		err = errors.Join(err, nameErr, c.holds(file+" for "+m.platform, said[m.platform], nil, want))
	}
	return err
}

// sample is the sample model's, which has a version of its own: its programs are those whose
// bills lie beside it.
func (c checking) sample() error {
	c.programs = map[string]string{}
	var found error
	for _, name := range c.Programs {
		bill, err := artefact.Bill(c.path(sampleBill(name)))
		c.programs[name] = bill.Program
		found = errors.Join(found, err)
		if err == nil {
			found = errors.Join(found, same(sampleBill(name), "version", bill.Version, sampleVersion))
		}
	}
	return errors.Join(found, c.image(sampleImage, sampleProgram, ""))
}

// gateway is the image of one kind of gateway: its bill, the agent in its system, what its disk
// unpacks to, and the bundle with the same system.
func (c checking) gateway(ctx context.Context, name string) error {
	stem := "holdfast-gateway-" + name
	bill, billErr := artefact.Bill(c.path(stem + ".cdx.json"))
	system, systemErr := artefact.System(ctx, c.path(stem+".squashfs"))
	disk, diskErr := artefact.Disk(ctx, c.path(stem+".img.zst"))
	found := errors.Join(
		c.holds(stem+".cdx.json", bill, billErr, artefact.Said{Version: c.Version, Program: c.programs[name]}),
		c.holds(stem+".squashfs", system, systemErr, artefact.Said{Program: c.programs[name]}),
		diskErr,
	)
	if diskErr == nil {
		found = errors.Join(found, c.sumBeside(stem+".img", disk))
	}
	for _, end := range []string{".img.zst", ".squashfs", ".cdx.json"} {
		sum, err := artefact.Sum(c.path(stem + end))
		found = errors.Join(found, err, c.sumBeside(stem+end, sum))
	}
	if !c.DeveloperImages {
		return found
	}
	return errors.Join(found, c.bundle(ctx, stem))
}

// sumBeside holds the sum of a file against that in the file of its name and .sha256.
func (c checking) sumBeside(file, sum string) error {
	text, err := os.ReadFile(c.path(file + ".sha256"))
	if err != nil {
		return fmt.Errorf("cannot read sum: %w", err)
	}
	return same(file+".sha256", "line", strings.TrimSpace(string(text)), sum+"  "+file)
}

// bundle is signed by one of the keyring, and holds the system beside it.
func (c checking) bundle(ctx context.Context, stem string) error {
	said, holds, err := artefact.Bundle(ctx, c.path(stem+".raucb"), c.path(keyringFile))
	if err != nil {
		return err
	}
	system, err := artefact.Sum(c.path(stem + ".squashfs"))
	return errors.Join(
		err,
		c.holds(stem+".raucb", said, nil, artefact.Said{Version: c.Version, Arch: stem}),
		same(stem+".raucb", "system", holds, system),
	)
}
