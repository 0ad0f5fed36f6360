package site

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"
)

// Report is what became of site files on this node.
type Report struct {
	Applied *Applied `json:"applied,omitempty"` // the latest that was
	Refused *Refused `json:"refused,omitempty"` // one that waits to be corrected
	// Left names files on the boot partition whose secrets could not be overwritten.
	Left []string `json:"left,omitempty"`
	// Unkept tells that this lies in memory, as all that the node knows: nothing was
	// removed from the boot partition, so that the next start finds it.
	Unkept bool `json:"unkept,omitempty"`
}

// Applied is a site file that the node lives by.
type Applied struct {
	File   string    `json:"file"`
	Digest string    `json:"digest"`
	At     time.Time `json:"at"` // by the node's clock then
	// Files are what it made, by their paths.
	Files []string `json:"files"`
}

// Refused is a site file that is wrong.
type Refused struct {
	File   string    `json:"file"`
	Digest string    `json:"digest,omitempty"`
	At     time.Time `json:"at"`
	Faults []Fault   `json:"faults"`
}

const (
	folderName = "site" // in the folder of the state
	reportName = "report.json"
	planName   = "plan.json"
	// maxRecord is above a plan with every document in it, in base64.
	maxRecord = 16 << 20
)

// ReadReport reads what became of site files; an empty report where there were none.
func ReadReport(state string) (Report, error) {
	var report Report
	if err := readRecord(filepath.Join(state, folderName, reportName), &report); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Report{}, err
	}
	return report, nil
}

func readRecord(path string, into any) error {
	text, err := read(path, maxRecord)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("cannot read record %q: %w", path, err)
	}
	return nil
}

func (a *Applier) writeRecord(name string, record any) error {
	text, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("cannot encode record: %w", err)
	}
	return a.disk.put(a.record(name), append(text, '\n'), closed)
}

func (a *Applier) record(name string) string {
	return filepath.Join(a.folders.State, folderName, name)
}
