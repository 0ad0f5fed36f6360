package boltfile

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Layout says what a file of one kind holds. The tree that every file has:
//
//	meta
//	  schema      decimal; which of the owner's layouts this is
//	  seal        SHA-256, hex, of all records of these buckets but itself
//	  …           and what the owner has to say of the whole
//	…             the owner's buckets
//
// Other buckets belong to others and are left alone.
//
// Migration: a reader of schema n brings records of every schema below n up to n in
// memory, one step at a time; the next commit writes the result. What is newer than the
// reader is never written to.
type Layout struct {
	Schema   int      // of the records this program writes, from 1
	Buckets  []string // besides meta
	MaxBytes int      // of the file; more is damage. Records should stay below a third of it

	// Migrate brings records of an older schema to the next. nil while Schema is 1.
	Migrate func(from int, r Records) error

	// Check tells whether the owner can read the records, by ErrDamaged or ErrNewer,
	// wrapped. It is asked in the child first. nil: any records will do.
	Check func(Records) error
}

// What may be wrong with a file.
var (
	ErrDamaged = errors.New("the database is damaged")
	ErrNewer   = errors.New("the database was written by a newer version")
)

const (
	bucketMeta = "meta"
	keySchema  = bucketMeta + "/schema"
	keySeal    = bucketMeta + "/seal"
)

// sealed gives an owner's records as the file has them.
func (l Layout) sealed(r Records) (Records, error) {
	whole := make(Records, len(r)+2)
	for name, value := range r {
		if !l.mayKeep(name) {
			return nil, fmt.Errorf("cannot keep record %q: it is not its owner's", name)
		}
		if value == nil {
			value = []byte{} // which is what will be read
		}
		whole[name] = value
	}
	whole[keySchema] = strconv.AppendInt(nil, int64(l.Schema), 10)
	whole[keySeal] = whole.seal()
	return whole, nil
}

// mayKeep tells whether the owner may have a record of a name.
func (l Layout) mayKeep(name string) bool {
	bucket, key, _ := strings.Cut(name, "/")
	ours := name == keySchema || name == keySeal
	return key != "" && !ours && (bucket == bucketMeta || slices.Contains(l.Buckets, bucket))
}

// unseal checks records as they were read, and gives them as the owner knows them.
func (l Layout) unseal(whole Records) (Records, error) {
	schema, err := strconv.Atoi(string(whole[keySchema]))
	switch {
	case err != nil || schema < 1:
		return nil, fmt.Errorf("%w: no schema", ErrDamaged)
	case schema > l.Schema:
		return nil, fmt.Errorf("%w: schema %d, this one knows %d", ErrNewer, schema, l.Schema)
	case !bytes.Equal(whole[keySeal], whole.seal()):
		return nil, fmt.Errorf("%w: the seal does not fit", ErrDamaged)
	}
	r := maps.Clone(whole)
	delete(r, keySchema)
	delete(r, keySeal)
	for ; schema < l.Schema; schema++ {
		if err := l.Migrate(schema, r); err != nil {
			return nil, fmt.Errorf("%w: cannot migrate from schema %d: %w", ErrDamaged, schema, err)
		}
	}
	return r, l.check(r)
}

// of reads a file: as it is, and as the owner knows it.
func (l Layout) of(db *database) (whole, r Records, err error) {
	if whole, err = db.read(l); err != nil {
		return nil, nil, err
	}
	r, err = l.unseal(whole)
	return whole, r, err
}

// check asks the owner. Whatever it says against the records, they cannot be used.
func (l Layout) check(r Records) error {
	if l.Check == nil {
		return nil
	}
	err := l.Check(r)
	if err == nil || errors.Is(err, ErrDamaged) || errors.Is(err, ErrNewer) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}
