package desk

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"holdfast/edge"
	"holdfast/edge/trust"
)

// Draft is a command before it is signed.
type Draft struct {
	ID         string // empty: one is made up
	Verb       edge.Verb
	Args       json.RawMessage
	Audience   edge.Audience
	Expires    time.Duration // from now
	MaxBoots   int
	MinPolicy  uint64
	Supersedes string
}

// Sign makes the draft a signed command with the first key as its issuer. Where the
// folder holds one of that id which says the same, that one comes back, and again is
// true: its bytes have one effect however often they are sent. Nothing is kept yet.
func (f *Folder) Sign(d Draft, now time.Time, keys ...ed25519.PrivateKey) (envelope []byte, again bool, err error) {
	if d.ID != "" {
		if envelope, err = f.Command(d.ID); err != nil || envelope != nil {
			return envelope, true, d.same(envelope, err)
		}
	}
	if len(keys) == 0 {
		return nil, false, edge.WithHint(fmt.Errorf("cannot sign command: no key is given: %w", edge.ErrInvalid), "name a private key of the role command with --key")
	}
	issuer, err := trust.KeyOf(keys[0])
	if err != nil {
		return nil, false, err
	}
	if d.ID == "" {
		d.ID = string(d.Verb) + "-" + randomID()
	}
	c := d.command(issuer.ID, now)
	c.Counter = 1 // to be checked before a number is spent
	if _, err := trust.EncodeCommand(c); err != nil {
		return nil, false, err
	}
	if c.Counter, err = f.NextCounter(issuer.ID, now); err != nil {
		return nil, false, err
	}
	payload, err := trust.EncodeCommand(c)
	if err != nil {
		return nil, false, err
	}
	envelope, err = trust.Sign(trust.TypeCommand, payload, keys...)
	return envelope, false, err
}

func (d Draft) command(issuer string, now time.Time) edge.Command {
	return edge.Command{
		APIVersion: edge.APIVersion, Kind: edge.CommandKind, ID: d.ID, Issuer: issuer, Audience: d.Audience,
		Expires: now.Add(d.Expires).UTC().Truncate(time.Second), MaxBoots: d.MaxBoots, MinPolicy: d.MinPolicy,
		Supersedes: d.Supersedes, Verb: d.Verb, Args: d.Args,
	}
}

// same refuses a kept command that asks for something else than the draft.
func (d Draft) same(envelope []byte, err error) error {
	if err != nil {
		return err
	}
	c, _, err := OpenCommand(envelope)
	if err != nil {
		return fmt.Errorf("cannot read command kept as %q: %w", d.ID, err)
	}
	if c.Verb != d.Verb || !reflect.DeepEqual(c.Audience, d.Audience) || c.Supersedes != d.Supersedes || !sameJSON(c.Args, d.Args) {
		return taken(d.ID)
	}
	return nil
}

func sameJSON(a, b json.RawMessage) bool {
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	one, errOne := edge.CanonicalJSON(a)
	other, errOther := edge.CanonicalJSON(b)
	return errOne == nil && errOther == nil && bytes.Equal(one, other)
}

func randomID() string {
	var raw [5]byte
	rand.Read(raw[:]) // never fails
	return hex.EncodeToString(raw[:])
}
