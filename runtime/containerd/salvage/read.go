package salvage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// What follows runs in the child.

// lockLimit is how long another process may take to let go of a file.
const lockLimit = time.Second

// openFile opens a database to read. The answer says why it could not be.
func openFile(path string) (*bbolt.DB, answer, bool) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, answer{State: Absent}, false
	case err != nil:
		return nil, answer{State: Unchecked, Why: err.Error()}, false
	case !info.Mode().IsRegular():
		return nil, answer{State: Damaged, Why: "is not a file"}, false
	case info.Size() == 0:
		// bbolt makes a new database of it, as it would have when the power went just
		// after the first start. What there was before would be forgotten silently.
		return nil, answer{State: Damaged, Why: "is empty"}, false
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: lockLimit, PreLoadFreelist: true})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, answer{State: Held}, false
	case errors.Is(err, fs.ErrPermission):
		return nil, answer{State: Unchecked, Why: err.Error()}, false
	case err != nil:
		return nil, answer{State: Damaged, Why: err.Error()}, false
	}
	return db, answer{State: Whole}, true
}

// view opens a database, checks every page of it and shows it to a function, whose error
// is its judgement.
func view(path string, judge func(*bbolt.Tx) error) answer {
	db, found, ok := openFile(path)
	if !ok {
		return found
	}
	defer db.Close() //nolint:errcheck // the process ends here
	err := db.View(func(tx *bbolt.Tx) error {
		for problem := range tx.Check() {
			return problem
		}
		return judge(tx)
	})
	if err != nil {
		return answer{State: Damaged, Why: err.Error()}
	}
	return found
}

// read judges whether a file can be read from end to end, and whether it has the shape
// that containerd relies on without looking.
func (r request) read() answer {
	var foreign []string
	path := r.Metadata
	judge := func(tx *bbolt.Tx) error {
		if err := walkAll(tx); err != nil {
			return err
		}
		names, err := checkShape(tx)
		foreign = slices.DeleteFunc(names, func(name string) bool { return name == r.Namespace })
		return err
	}
	if path == "" {
		path, judge = r.Snapshots, walkAll
	}
	found := view(path, judge)
	found.Foreign = foreign
	return found
}

// walkAll touches every key and value.
func walkAll(tx *bbolt.Tx) error {
	return tx.ForEach(func(_ []byte, bucket *bbolt.Bucket) error { return walkBucket(bucket) })
}

func walkBucket(bucket *bbolt.Bucket) error {
	return bucket.ForEach(func(key, value []byte) error {
		if value != nil {
			return nil
		}
		if below := bucket.Bucket(key); below != nil {
			return walkBucket(below)
		}
		return nil // an empty value reads as none
	})
}

// checkShape wants buckets where containerd expects some, and names the namespaces.
func checkShape(tx *bbolt.Tx) ([]string, error) {
	root := tx.Bucket([]byte(schemaBucket))
	if root == nil {
		return nil, nil // nobody has something in it
	}
	version := root.Get([]byte("version"))
	if _, err := readVarint(version); version != nil && err != nil {
		return nil, fmt.Errorf("its version is %w", err)
	}
	var names []string
	err := root.ForEach(func(name, value []byte) error {
		if string(name) == "version" {
			return nil
		}
		namespace := root.Bucket(name)
		if namespace == nil {
			return fmt.Errorf("namespace %q is no bucket", name)
		}
		names = append(names, string(name))
		return checkRecords(namespace)
	})
	return names, err
}

// checkRecords wants every record of a namespace to be a bucket.
func checkRecords(namespace *bbolt.Bucket) error {
	for _, path := range [][]string{{"images"}, {"containers"}, {"leases"}, {"sandboxes"}, {"content", "blob"}} {
		bucket := namespace
		for _, name := range path {
			if bucket = bucket.Bucket([]byte(name)); bucket == nil {
				break
			}
		}
		if bucket == nil {
			continue
		}
		err := bucket.ForEach(func(key, _ []byte) error {
			if bucket.Bucket(key) == nil {
				return fmt.Errorf("%s %q is no bucket", strings.Join(path, "/"), key)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// numbers lists, for each namespace, the greatest number that one of its snapshots bears.
func (r request) numbers() answer {
	greatest := map[string]uint64{}
	found := view(r.Snapshots, func(tx *bbolt.Tx) error {
		all := bucketAt(tx, schemaBucket, "snapshots")
		if all == nil {
			return nil
		}
		return all.ForEach(func(key, _ []byte) error {
			namespace, number, err := splitKey(string(key))
			greatest[namespace] = max(greatest[namespace], number)
			return err
		})
	})
	found.Numbers = greatest
	return found
}

// splitKey takes the name of a snapshot apart: namespace/number/key.
func splitKey(key string) (namespace string, number uint64, err error) {
	parts := strings.SplitN(key, "/", 3)
	if len(parts) != 3 {
		return "", 0, fmt.Errorf("snapshot %q belongs to no namespace", key)
	}
	if number, err = strconv.ParseUint(parts[1], 10, 64); err != nil {
		return "", 0, fmt.Errorf("snapshot %q has no number", key)
	}
	return parts[0], number, nil
}

// names lists our images as far as they can be read. The file may be damaged: what is
// said is a hint, and held against the content.
func (r request) names() (found answer) {
	db, found, ok := openFile(r.Metadata)
	if !ok {
		return found
	}
	// What was read before it failed counts too.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { _ = recover() }()
	_ = db.View(func(tx *bbolt.Tx) error { // as far as it goes
		images := bucketAt(tx, schemaBucket, r.Namespace, "images")
		if images == nil {
			return nil
		}
		return images.ForEach(func(name, _ []byte) error {
			if record := images.Bucket(name); record != nil {
				if target := record.Bucket([]byte("target")); target != nil {
					found.Images = append(found.Images, entry{Name: string(name), Digest: string(target.Get([]byte("digest")))})
				}
			}
			return nil
		})
	})
	return found
}
