package edge

import "time"

// SiteFileReport is what became of the file by which a person set the node up.
type SiteFileReport struct {
	File    string    `json:"file,omitempty"` // the one the node lives by; empty: none was ever applied
	Digest  string    `json:"digest,omitempty"`
	Applied time.Time `json:"applied,omitzero"`  // by the node's clock then
	Refused string    `json:"refused,omitempty"` // a wrong one on the boot partition
	Faults  []string  `json:"faults,omitempty"`  // what is wrong with it
}
