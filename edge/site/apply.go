package site

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"time"
)

// Options are what applying needs.
type Options struct {
	Folders
	// Check reads a configuration file, with the conf.d beside it, as the agent does.
	Check func(config string) []ConfigFault
	Now   func() time.Time
	// SetClock sets the machine's clock.
	SetClock func(time.Time) error
	// Before is told of each change to a file; an error keeps it from happening. Nil
	// lets all happen.
	Before func(change, path string) error
	// InMemory tells whether a folder is lost when the machine ends; nil asks the kernel.
	InMemory func(folder string) bool
}

// ConfigFault is what the configuration's own checker finds.
type ConfigFault struct{ Where, Key, Detail, Remedy string }

// Outcome is what Apply came to.
type Outcome struct {
	Report
	// Done tells that a file was applied now, or that applying it was finished.
	Done bool
	// Notes are what did not go well and kept nothing from being done.
	Notes []string
}

// Applier applies site files. It may be used once.
type Applier struct {
	folders  Folders
	check    func(string) []ConfigFault
	now      func() time.Time
	setClock func(time.Time) error
	disk     disk
	inMemory func(string) bool

	report Report
	notes  []string
}

// New makes an applier.
func New(o Options) *Applier {
	a := &Applier{folders: o.Folders, check: o.Check, now: o.Now, setClock: o.SetClock, disk: disk{o.Before}, inMemory: o.InMemory}
	if a.inMemory == nil {
		a.inMemory = inMemory
	}
	return a
}

// plan is all that applying a file does, written down before it is begun.
type plan struct {
	File    string    `json:"file"`
	Digest  string    `json:"digest"`
	At      time.Time `json:"at"`
	Targets []Target  `json:"targets"`
	Remove  []string  `json:"remove,omitempty"` // what an earlier file made, and this one does not
	Clock   time.Time `json:"clock,omitzero"`
	Note    []byte    `json:"note"` // what is left of the file
	Secrets []secret  `json:"secrets"`
}

// secret is a file of the boot partition that is not to stay there.
type secret struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
	Size   int    `json:"size"`
	Note   bool   `json:"note,omitempty"` // it is the site file, in whose place the note stands
}

// Apply finishes what was begun, and applies the file that lies on the boot partition, if
// there is one. That it is wrong is said in the outcome.
func (a *Applier) Apply() (Outcome, error) {
	var err error
	if a.report, err = ReadReport(a.folders.State); err != nil {
		a.notes = append(a.notes, err.Error()) // it is written anew
	}
	if err := a.dropDrafts(); err != nil {
		return Outcome{}, err
	}
	finished, err := a.resume()
	if err != nil {
		return Outcome{}, err
	}
	applied, err := a.fresh()
	return Outcome{Report: a.report, Done: finished || applied, Notes: a.notes}, err
}

// dropDrafts removes what was cut off before it had its name, and what was put together to be
// checked: a plan of that kind was never begun, and has secrets in it.
func (a *Applier) dropDrafts() error {
	for _, pattern := range []string{"*.new", checkPrefix + "*"} {
		found, err := filepath.Glob(a.record(pattern))
		if err != nil {
			return fmt.Errorf("cannot look into the state: %w", err)
		}
		for _, path := range found {
			if err := a.disk.step("remove", path); err != nil {
				return err
			}
			if err := errors.Join(os.RemoveAll(path), syncFolder(filepath.Dir(path))); err != nil {
				return fmt.Errorf("cannot remove what was cut off: %w", err)
			}
		}
	}
	return nil
}

// resume goes on where the power was cut.
func (a *Applier) resume() (bool, error) {
	var p plan
	switch err := readRecord(a.record(planName), &p); {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		a.notes = append(a.notes, err.Error())
		return false, a.disk.remove(a.record(planName))
	}
	return true, a.carryOut(p)
}

// fresh applies what lies on the boot partition now.
func (a *Applier) fresh() (bool, error) {
	found, err := find(a.folders.Boot)
	var from *source
	if err == nil {
		from, err = single(found)
	}
	switch {
	case FaultsOf(err) != nil:
		return false, a.refuse(err, "")
	case err != nil:
		return false, err
	case from == nil:
		return false, a.forgive()
	case len(a.report.Left) > 0 && a.report.Applied.Digest == digestOf(from.content): // applied, and not to be removed
		return false, nil
	}
	file, err := Parse(from.name, from.content, besideIn(a.folders.Boot))
	if err == nil {
		err = a.checkConfig(file)
	}
	switch {
	case FaultsOf(err) != nil:
		return false, a.refuse(err, digestOf(from.content))
	case err != nil:
		return false, err
	}
	p := a.planFor(file, from.content)
	if err := a.writeRecord(planName, p); err != nil {
		return false, err
	}
	return true, a.carryOut(p)
}

func (a *Applier) planFor(file *File, content []byte) plan {
	p := plan{File: file.Name, Digest: file.Digest, At: a.now().UTC().Truncate(time.Second), Targets: file.Targets(a.folders)}
	if file.Time.Now.After(p.At.Add(farBehind)) {
		p.Clock, p.At = file.Time.Now, file.Time.Now
	}
	if before := a.report.Applied; before != nil {
		p.Remove = slices.DeleteFunc(slices.Clone(before.Files), func(path string) bool {
			return slices.ContainsFunc(p.Targets, func(t Target) bool { return t.Path == path })
		})
	}
	p.Note = note(file, p)
	p.Secrets = append(p.Secrets, secret{Name: file.Name, Digest: file.Digest, Size: len(content), Note: true})
	if key := file.Broker.Key; key.Beside != "" {
		if name, err := nameIn(a.folders.Boot, key.Beside); err == nil {
			if text, err := read(filepath.Join(a.folders.Boot, name), MaxDocument); err == nil {
				p.Secrets = append(p.Secrets, secret{Name: name, Digest: digestOf(text), Size: len(text)})
			}
		}
	}
	return p
}

// farBehind is how far the clock is behind the time in a file before it is set: nearer, it
// is more likely right than the person's watch.
const farBehind = time.Hour

// carryOut does all that stands in a plan. Each part may have been done before.
func (a *Applier) carryOut(p plan) error {
	for _, target := range p.Targets {
		if err := a.disk.put(target.Path, target.Content, target.Mode); err != nil {
			return err
		}
	}
	for _, path := range p.Remove {
		if err := a.disk.remove(path); err != nil {
			return err
		}
	}
	a.advance(p.Clock)
	a.report = Report{Applied: &Applied{File: p.File, Digest: p.Digest, At: p.At}, Unkept: a.Unkept()}
	for _, target := range p.Targets {
		a.report.Applied.Files = append(a.report.Applied.Files, target.Path)
	}
	if err := a.clean(p); err != nil {
		return err
	}
	if err := a.writeRecord(reportName, a.report); err != nil {
		return err
	}
	if len(a.report.Left) > 0 { // the plan stays: it is tried again at the next boot
		return nil
	}
	return a.disk.scrub(a.record(planName), nil)
}

// advance sets a clock that is far behind. It is tried once: a machine that forgets the
// time is not helped by one from long ago.
func (a *Applier) advance(to time.Time) {
	if to.IsZero() || !to.After(a.now().Add(farBehind)) {
		return
	}
	if err := a.setClock(to); err != nil {
		a.notes = append(a.notes, fmt.Sprintf("the clock could not be set: %v", err))
	}
}

// clean overwrites the secrets on the boot partition. Where that cannot be written to, the
// report says what is left. It is left alone where it is all that lasts.
func (a *Applier) clean(p plan) error {
	if a.report.Unkept {
		a.notes = append(a.notes, "this machine keeps nothing, for its state lies in memory: the site file stays where it is")
	}
	for _, one := range p.Secrets {
		path := filepath.Join(a.folders.Boot, one.Name)
		if !a.isLeft(path, one, len(p.Note)) {
			continue
		}
		if a.report.Unkept {
			a.report.Left = append(a.report.Left, one.Name)
			continue
		}
		var text []byte
		if one.Note {
			text = p.Note
		}
		notes := len(a.notes)
		if err := a.isCut(a.disk.scrub(path, text)); err != nil {
			return err
		}
		if len(a.notes) > notes {
			a.report.Left = append(a.report.Left, one.Name)
		}
	}
	return a.dropErrors()
}

// isLeft tells whether a file is the one that was applied, or what a power cut left of it
// while it was being overwritten. Another one is new, and not to be touched.
func (a *Applier) isLeft(path string, was secret, note int) bool {
	content, err := read(path, maxFile)
	if err != nil {
		return false
	}
	const blanks = 8 // zeros in a row, which no text has
	cutShort := (len(content) == was.Size || len(content) == note) && bytes.Contains(content, make([]byte, min(blanks, max(1, was.Size))))
	return digestOf(content) == was.Digest || cutShort
}

// refuse keeps what is wrong where it is seen: in the report, and beside the file.
func (a *Applier) refuse(wrong error, digest string) error {
	var faults *Faults
	errors.As(wrong, &faults)
	refused := &Refused{File: faults.File, Digest: digest, At: a.now().UTC().Truncate(time.Second), Faults: faults.All}
	if before := a.report.Refused; before != nil && before.Digest == digest && reflect.DeepEqual(before.Faults, refused.Faults) {
		refused.At = before.At
	}
	a.report.Refused = refused
	if err := a.isCut(a.disk.put(filepath.Join(a.folders.Boot, ErrorsName), refused.page(), given)); err != nil {
		return err
	}
	return a.writeRecord(reportName, a.report)
}

// isCut notes an error that the boot partition gave, which keeps nothing from being done,
// and gives any other back.
func (a *Applier) isCut(err error) error {
	var path *fs.PathError
	var link *os.LinkError
	if errors.As(err, &path) || errors.As(err, &link) {
		a.notes = append(a.notes, err.Error())
		return nil
	}
	return err
}

// forgive forgets a wrong file that is no longer there.
func (a *Applier) forgive() error {
	if err := a.dropErrors(); err != nil || a.report.Refused == nil {
		return err
	}
	a.report.Refused = nil
	return a.writeRecord(reportName, a.report)
}

func (a *Applier) dropErrors() error {
	return a.isCut(a.disk.remove(filepath.Join(a.folders.Boot, ErrorsName)))
}
