package site

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// checkPrefix begins the names of folders for that.
const checkPrefix = "check-"

// checkConfig puts the configuration together as it would be, in a folder of its own, and
// has it checked.
func (a *Applier) checkConfig(file *File) error {
	var ours []byte
	for _, target := range file.Targets(a.folders) {
		if filepath.Base(target.Path) == configName {
			ours = target.Content
		}
	}
	if ours == nil {
		return nil
	}
	if err := a.disk.folder(filepath.Join(a.folders.State, folderName)); err != nil {
		return err
	}
	stage, err := os.MkdirTemp(filepath.Join(a.folders.State, folderName), checkPrefix)
	if err != nil {
		return fmt.Errorf("cannot make folder: %w", err)
	}
	defer os.RemoveAll(stage)
	if err := a.copyConfig(stage, ours); err != nil {
		return err
	}
	return file.blame(a.check(filepath.Join(stage, "config.yaml")))
}

// copyConfig copies the configuration files of the node, ours in the place of the one
// before it. A configuration has some KiB.
func (a *Applier) copyConfig(stage string, ours []byte) error {
	if err := os.Mkdir(filepath.Join(stage, "conf.d"), 0o700); err != nil {
		return fmt.Errorf("cannot make folder: %w", err)
	}
	config, err := read(filepath.Join(a.folders.Etc, "config.yaml"), maxFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot read configuration: %w", err)
	}
	if err := os.WriteFile(filepath.Join(stage, "config.yaml"), config, closed); err != nil {
		return fmt.Errorf("cannot copy configuration: %w", err)
	}
	others, err := filepath.Glob(filepath.Join(a.folders.Etc, "conf.d", "*.yaml"))
	if err != nil {
		return fmt.Errorf("cannot look into conf.d: %w", err)
	}
	for _, other := range others {
		text, err := read(other, maxFile)
		if err != nil {
			return fmt.Errorf("cannot read configuration: %w", err)
		}
		if err := os.WriteFile(filepath.Join(stage, "conf.d", filepath.Base(other)), text, closed); err != nil {
			return fmt.Errorf("cannot copy configuration: %w", err)
		}
	}
	if err := os.WriteFile(filepath.Join(stage, "conf.d", configName), ours, closed); err != nil {
		return fmt.Errorf("cannot copy configuration: %w", err)
	}
	return nil
}

// CheckAlone has what a file makes of the configuration checked where there is no node:
// on the laptop.
func (f *File) CheckAlone(check func(config string) []ConfigFault) error {
	stage, err := os.MkdirTemp("", "holdfast-site-")
	if err != nil {
		return fmt.Errorf("cannot make folder: %w", err)
	}
	defer os.RemoveAll(stage)
	at := Folders{Etc: filepath.Join(stage, "etc"), State: stage}
	alone := New(Options{Folders: at, Check: check})
	return alone.checkConfig(f)
}

// blame turns what the checker found into faults of the site file, where it is its.
func (f *File) blame(found []ConfigFault) error {
	var faults []Fault
	for _, one := range found {
		if key := keyOf(one.Key); strings.Contains(one.Where, configName) || f.Line(key) > 0 {
			faults = append(faults, Fault{f.Line(key), key, one.Detail, one.Remedy})
			continue
		}
		where := filepath.Base(one.Where)
		faults = append(faults, Fault{Key: one.Key, Detail: "with this file the node's configuration would be wrong at " + where + ": " + one.Detail, Remedy: one.Remedy})
	}
	if len(faults) == 0 {
		return nil
	}
	return &Faults{File: f.Name, All: faults}
}
