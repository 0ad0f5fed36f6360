package rauc

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"holdfast/edge"
)

// Status is what rauc knows of the machine's systems.
type Status struct {
	Compatible string
	Slots      []Slot // in rauc's order
	primary    string // name of the one that is started next
}

// Slot is a place for a system.
type Slot struct {
	Name     string // such as rootfs.1
	Bootname string // what the loader calls it; empty: nothing is started from it
	Booted   bool
	Good     bool   // the loader knows that it was called good
	Version  string // of the bundle that rauc installed there; empty: none was
}

// Word is what people call the slot.
func (s Slot) Word() string { return cmp.Or(s.Bootname, s.Name) }

// Booted is the slot that runs.
func (s Status) Booted() (Slot, bool) { return s.find(func(slot Slot) bool { return slot.Booted }) }

// Next is the slot that is started when the machine starts anew.
func (s Status) Next() (Slot, bool) {
	return s.find(func(slot Slot) bool { return slot.Name == s.primary })
}

func (s Status) find(is func(Slot) bool) (Slot, bool) {
	for _, slot := range s.Slots {
		if is(slot) {
			return slot, true
		}
	}
	return Slot{}, false
}

// saidSlot is a slot as rauc 1.8 writes it.
type saidSlot struct {
	Bootname   string `json:"bootname"`
	State      string `json:"state"`
	BootStatus string `json:"boot_status"`
	SlotStatus *struct {
		Bundle struct {
			Version string `json:"version"`
		} `json:"bundle"`
	} `json:"slot_status"` // left out while rauc is busy
}

// Status asks rauc which systems there are. While rauc installs it does not know. Where it
// cannot say and nobody has told it, that is ErrUndescribed.
func (t *Tool) Status(ctx context.Context) (s Status, err error) {
	text, err := t.ask(ctx, "status", "--detailed", "--output-format=json")
	if err != nil && !errors.Is(err, ErrMissing) {
		if none := t.Undescribed(); none != nil {
			return s, none
		}
	}
	if err != nil {
		return s, fmt.Errorf("rauc does not say which systems there are: %w: %w", edge.ErrUnavailable, err)
	}
	var said struct {
		Compatible string                `json:"compatible"`
		Primary    string                `json:"boot_primary"`
		Slots      []map[string]saidSlot `json:"slots"`
	}
	if err := json.Unmarshal(text, &said); err != nil {
		return s, fmt.Errorf("cannot read what rauc says of its systems: %w: %w", edge.ErrUnavailable, err)
	}
	s.Compatible, s.primary = plain(said.Compatible), said.Primary
	for _, one := range said.Slots {
		for name, slot := range one {
			if slot.SlotStatus == nil {
				return Status{}, fmt.Errorf("rauc is busy and does not say which systems there are: %w", edge.ErrUnavailable)
			}
			s.Slots = append(s.Slots, Slot{
				Name: plain(name), Bootname: plain(slot.Bootname), Booted: slot.State == "booted", Good: slot.BootStatus == "good",
				Version: plain(slot.SlotStatus.Bundle.Version),
			})
		}
	}
	return s, nil
}

// StatusOf is a status of slots of which one, by its name, is started next.
func StatusOf(primary string, slots ...Slot) Status { return Status{primary: primary, Slots: slots} }
