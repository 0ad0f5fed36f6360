package salvage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

// The tree of containerd's metadata that concerns us, as containerd 1.6 to 2 write it:
//
//	v1
//	  version                      varint
//	  *namespace*
//	    images/*name*              createdat updatedat, target/{digest mediatype size}, labels
//	    content/blob/*digest*      createdat updatedat size, labels
//	    snapshots/*snapshotter*    a sequence; *key*: name parent createdat updatedat, labels, children
//	    containers/*id*            createdat updatedat spec image runtime/… snapshotter snapshotKey, labels
//	    leases, sandboxes, labels, ingest
//
// And of the snapshotter's own:
//
//	v1
//	  snapshots/*namespace/number/key*   id kind parent createdat updatedat
//	  parents/*parent id 0 id*           the key of the child
const (
	schemaBucket = "v1"
	// schemaVersion is that of containerd 1.6, which every later one brings up to its
	// own when it starts.
	schemaVersion = 3
	// knownVersion is the latest whose namespaces hold nothing but what is named here.
	knownVersion = 4
)

// objects are what a namespace may hold.
var objects = map[string]bool{
	"labels": true, "images": true, "containers": true, "snapshots": true,
	"content": true, "leases": true, "sandboxes": true, "ingest": true,
}

// bucketAt follows a path; nil when a part of it is not there.
func bucketAt(tx *bbolt.Tx, path ...string) *bbolt.Bucket {
	bucket := tx.Bucket([]byte(path[0]))
	for _, name := range path[1:] {
		if bucket == nil {
			return nil
		}
		bucket = bucket.Bucket([]byte(name))
	}
	return bucket
}

// makeBucket makes a path where it is not there.
func makeBucket(parent *bbolt.Bucket, path ...string) (_ *bbolt.Bucket, err error) {
	for _, name := range path {
		if parent, err = parent.CreateBucketIfNotExists([]byte(name)); err != nil {
			return nil, fmt.Errorf("cannot make bucket %q: %w", name, err)
		}
	}
	return parent, nil
}

// put writes values and labels into a bucket. A label without a value is left out.
func put(bucket *bbolt.Bucket, values map[string][]byte, labels map[string]string) error {
	for key, value := range values {
		if err := bucket.Put([]byte(key), value); err != nil {
			return err
		}
	}
	if len(labels) == 0 {
		return nil
	}
	kept, err := makeBucket(bucket, "labels")
	if err != nil {
		return err
	}
	for key, value := range labels {
		if err := kept.Put([]byte(key), []byte(value)); err != nil {
			return err
		}
	}
	return nil
}

func varint(n int64) []byte { return binary.AppendVarint(nil, n) }

func readVarint(text []byte) (int64, error) {
	n, length := binary.Varint(text)
	if length <= 0 || length != len(text) {
		return 0, errors.New("not a number")
	}
	return n, nil
}

// checkTime tells whether a bucket's time can be read; one that is not there can.
func checkTime(text []byte) error {
	if text == nil {
		return nil
	}
	var t time.Time
	return t.UnmarshalBinary(text)
}

// labelsOf reads the labels of a record.
func labelsOf(record *bbolt.Bucket) map[string]string {
	labels := map[string]string{}
	if bucket := record.Bucket([]byte("labels")); bucket != nil {
		_ = bucket.ForEach(func(key, value []byte) error { // the function does not fail
			labels[string(key)] = string(value)
			return nil
		})
	}
	return labels
}
