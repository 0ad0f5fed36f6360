package salvage

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"go.etcd.io/bbolt"
)

// What follows runs in the child.

// write makes a new file: what others have, and ours from the content on disk.
func (r request) write() answer {
	if err := os.Remove(r.Into); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return answer{State: Unchecked, Why: err.Error()}
	}
	db, err := bbolt.Open(r.Into, 0o644, &bbolt.Options{Timeout: lockLimit}) // as containerd makes it
	if err != nil {
		return answer{State: Unchecked, Why: err.Error()}
	}
	err = db.Update(r.fill)
	if err = errors.Join(err, db.Close()); err != nil {
		return answer{State: Unchecked, Why: err.Error()}
	}
	return answer{State: Whole}
}

func (r request) fill(tx *bbolt.Tx) error {
	if err := r.carryOver(tx); err != nil {
		return err
	}
	root, err := tx.CreateBucketIfNotExists([]byte(schemaBucket))
	if err != nil {
		return err
	}
	if root.Get([]byte("version")) == nil {
		if err := root.Put([]byte("version"), varint(schemaVersion)); err != nil {
			return err
		}
	}
	if err := r.ours(root); err != nil {
		return err
	}
	return r.floors(root)
}

// carryOver copies everything but our namespace.
func (r request) carryOver(tx *bbolt.Tx) error {
	if !r.Keep {
		return nil
	}
	old, found, ok := openFile(r.Metadata)
	if !ok {
		return fmt.Errorf("cannot read what others have: %s %s", found.State, found.Why)
	}
	defer old.Close() //nolint:errcheck // read only
	return old.View(func(from *bbolt.Tx) error {
		return from.ForEach(func(name []byte, bucket *bbolt.Bucket) error {
			to, err := tx.CreateBucketIfNotExists(name)
			if err != nil {
				return err
			}
			return r.copyBucket(bucket, to, []string{string(name)})
		})
	})
}

// copyBucket copies a bucket but for what is left out.
func (r request) copyBucket(from, to *bbolt.Bucket, path []string) error {
	if err := to.SetSequence(from.Sequence()); err != nil {
		return err
	}
	return from.ForEach(func(key, value []byte) error {
		below := from.Bucket(key)
		if below == nil {
			return to.Put(key, bytes.Clone(value)) // it is written when the old file is closed
		}
		deeper := append(path[:len(path):len(path)], string(key))
		if r.leftOut(deeper) {
			return nil
		}
		into, err := to.CreateBucket(key)
		if err != nil {
			return err
		}
		return r.copyBucket(below, into, deeper)
	})
}

func (r request) leftOut(path []string) bool {
	switch len(path) {
	case 2:
		return path[0] == schemaBucket && path[1] == r.Namespace
	case 4:
		return r.Forget && path[0] == schemaBucket && path[2] == "snapshots" && path[3] == r.Kind
	}
	return false
}

// ours names the images, and what holds their content.
func (r request) ours(root *bbolt.Bucket) error {
	now, err := time.Now().UTC().MarshalBinary()
	if err != nil {
		return err
	}
	for _, b := range r.Blob {
		bucket, err := makeBucket(root, r.Namespace, "content", "blob", b.Digest)
		if err != nil {
			return err
		}
		values := map[string][]byte{"createdat": now, "updatedat": now, "size": varint(b.Size)}
		if err := put(bucket, values, b.Labels); err != nil {
			return err
		}
	}
	for _, image := range r.Images {
		bucket, err := makeBucket(root, r.Namespace, "images", image.Name)
		if err != nil {
			return err
		}
		if err := put(bucket, map[string][]byte{"createdat": now, "updatedat": now}, nil); err != nil {
			return err
		}
		target, err := makeBucket(bucket, "target")
		if err != nil {
			return err
		}
		values := map[string][]byte{"digest": []byte(image.Digest), "mediatype": []byte(image.MediaType), "size": varint(image.Size)}
		if err := put(target, values, nil); err != nil {
			return err
		}
	}
	return nil
}

// floors sees that no snapshot gets a number that another has had.
func (r request) floors(root *bbolt.Bucket) error {
	for namespace, number := range r.Floor {
		bucket, err := makeBucket(root, namespace, "snapshots", r.Kind)
		if err != nil {
			return err
		}
		if bucket.Sequence() < number {
			if err := bucket.SetSequence(number); err != nil {
				return err
			}
		}
	}
	return nil
}
