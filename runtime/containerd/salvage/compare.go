package salvage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.etcd.io/bbolt"
)

// What follows runs in the child. bbolt has no checksums but for its first two pages: a
// turned bit in a record passes for what somebody wrote. So what is ours is held against
// what is on disk, and against what containerd itself always keeps to.

// compare judges two files that can be read.
func (r request) compare() answer {
	backend := map[string]bool{}
	numbers := map[string]uint64{}
	if r.Snapshots != "" {
		found := view(r.Snapshots, func(tx *bbolt.Tx) (err error) {
			backend, numbers, err = r.trees(tx)
			return err
		})
		if found.State != Whole {
			return disagreement(found, "the snapshotter's metadata: ")
		}
	}
	found := view(r.Metadata, func(tx *bbolt.Tx) error {
		ours := bucketAt(tx, schemaBucket, r.Namespace)
		if ours == nil {
			if numbers[r.Namespace] > 0 {
				return fmt.Errorf("namespace %q is not there, and its snapshots are", r.Namespace)
			}
			return nil
		}
		version, _ := readVarint(tx.Bucket([]byte(schemaBucket)).Get([]byte("version")))
		c := comparison{request: r, ours: ours, backend: backend, number: numbers[r.Namespace]}
		return c.all(version)
	})
	return disagreement(found, "")
}

func disagreement(found answer, where string) answer {
	if found.State == Damaged {
		found.State, found.Why = Disagrees, where+found.Why
	}
	return found
}

// trees lists the snapshots that the snapshotter knows, and holds each against its folder
// and its place among the others.
func (r request) trees(tx *bbolt.Tx) (known map[string]bool, numbers map[string]uint64, err error) {
	known, numbers = map[string]bool{}, map[string]uint64{}
	all, parents := bucketAt(tx, schemaBucket, "snapshots"), bucketAt(tx, schemaBucket, "parents")
	if all == nil {
		return known, numbers, nil
	}
	err = all.ForEach(func(key, _ []byte) error {
		namespace, number, err := splitKey(string(key))
		if err != nil {
			return err
		}
		known[string(key)] = true
		numbers[namespace] = max(numbers[namespace], number)
		if namespace != r.Namespace {
			return nil
		}
		if err := r.tree(all, parents, key); err != nil {
			return fmt.Errorf("snapshot %q: %w", key, err)
		}
		return nil
	})
	return known, numbers, err
}

func (r request) tree(all, parents *bbolt.Bucket, key []byte) error {
	record := all.Bucket(key)
	if record == nil {
		return errors.New("is no bucket")
	}
	id := treeID(record)
	if _, err := os.Stat(filepath.Join(r.Trees, strconv.FormatUint(id, 10))); err != nil {
		return err
	}
	if kind := record.Get([]byte("kind")); len(kind) != 1 || kind[0] == 0 || kind[0] > 3 {
		return errors.New("has no kind")
	}
	parent := record.Get([]byte("parent"))
	if len(parent) == 0 {
		return checkTimes(record)
	}
	above := all.Bucket(parent)
	if above == nil || parents == nil {
		return fmt.Errorf("its parent %q is not there", parent)
	}
	link := binary.AppendUvarint(append(binary.AppendUvarint(nil, treeID(above)), 0), id)
	if string(parents.Get(link)) != string(key) {
		return errors.New("its number and its place differ")
	}
	return checkTimes(record)
}

func treeID(record *bbolt.Bucket) uint64 {
	id, _ := binary.Uvarint(record.Get([]byte("id"))) // 0 has no folder
	return id
}

func checkTimes(record *bbolt.Bucket) error {
	for _, key := range []string{"createdat", "updatedat"} {
		if err := checkTime(record.Get([]byte(key))); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}

// comparison is of our namespace.
type comparison struct {
	request
	ours    *bbolt.Bucket
	backend map[string]bool // the snapshots that the snapshotter has, of all namespaces
	number  uint64          // the greatest of ours there
}

func (c comparison) all(version int64) error {
	if err := checkText(c.ours); err != nil {
		return err
	}
	if version <= knownVersion {
		err := c.ours.ForEach(func(name, _ []byte) error {
			if !objects[string(name)] {
				return fmt.Errorf("nothing is called %q", name)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	for path, check := range map[string]func(name string, record *bbolt.Bucket) error{
		"content/blob":        c.blob,
		"images":              c.image,
		"snapshots/" + c.Kind: c.snapshot,
		"containers":          c.container,
		"leases":              func(_ string, record *bbolt.Bucket) error { return checkTimes(record) },
	} {
		if err := c.each(strings.Split(path, "/"), check); err != nil {
			return err
		}
	}
	return c.sequence()
}

// each shows every record below a path to a check.
func (c comparison) each(path []string, check func(string, *bbolt.Bucket) error) error {
	bucket := c.ours
	for _, name := range path {
		if bucket = bucket.Bucket([]byte(name)); bucket == nil {
			return nil
		}
	}
	return bucket.ForEach(func(name, _ []byte) error {
		record := bucket.Bucket(name)
		if record == nil {
			return fmt.Errorf("%s %q is no bucket", strings.Join(path, "/"), name)
		}
		if err := check(string(name), record); err != nil {
			return fmt.Errorf("%s %q: %w", strings.Join(path, "/"), name, err)
		}
		return nil
	})
}

// checkText wants names and labels that can be sent to anybody: one that cannot keeps
// containerd from listing all the others.
func checkText(bucket *bbolt.Bucket) error {
	return bucket.ForEach(func(key, _ []byte) error {
		if !utf8.Valid(key) {
			return fmt.Errorf("%q is no text", key)
		}
		below := bucket.Bucket(key)
		if below == nil {
			return nil
		}
		if string(key) != "labels" {
			return checkText(below)
		}
		return below.ForEach(func(key, value []byte) error {
			if !utf8.Valid(key) || !utf8.Valid(value) {
				return fmt.Errorf("label %q: %q is no text", key, value)
			}
			return nil
		})
	})
}

// blob wants the file that a record tells of.
func (c comparison) blob(name string, record *bbolt.Bucket) error {
	sum, found := strings.CutPrefix(name, "sha256:")
	if !found || !isSum(sum) {
		return errors.New("is no digest")
	}
	size, err := readVarint(record.Get([]byte("size")))
	if err != nil {
		return fmt.Errorf("its size is %w", err)
	}
	info, err := os.Stat(filepath.Join(c.Blobs, sum))
	if err != nil {
		return err
	}
	if info.Size() != size {
		return fmt.Errorf("has %d bytes and should have %d", info.Size(), size)
	}
	return checkTimes(record)
}

// sequence wants the next snapshot to get a number that none has.
func (c comparison) sequence() error {
	last := uint64(0)
	if bucket := c.ours.Bucket([]byte("snapshots")); bucket != nil {
		if of := bucket.Bucket([]byte(c.Kind)); of != nil {
			last = of.Sequence()
		}
	}
	if last < c.number {
		return fmt.Errorf("snapshot number %d is given out, and the next would be %d", c.number, last+1)
	}
	return nil
}

// snapshot wants the snapshotter to have what a record names, and its parent.
func (c comparison) snapshot(_ string, record *bbolt.Bucket) error {
	name := string(record.Get([]byte("name")))
	if !c.backend[name] {
		return fmt.Errorf("the snapshotter has no %q", name)
	}
	if namespace, _, err := splitKey(name); err != nil || namespace != c.Namespace {
		return fmt.Errorf("%q is not ours", name)
	}
	if parent := record.Get([]byte("parent")); len(parent) > 0 {
		all := c.ours.Bucket([]byte("snapshots")).Bucket([]byte(c.Kind))
		if all.Bucket(parent) == nil {
			return fmt.Errorf("its parent %q is not there", parent)
		}
	}
	return checkTimes(record)
}
