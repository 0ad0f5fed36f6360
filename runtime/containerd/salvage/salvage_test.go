package salvage_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"holdfast/edge"
	"holdfast/runtime/containerd/salvage"
)

// childEnv makes this test binary the child.
const childEnv = "SALVAGE_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(salvage.ChildMain(os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}

// store is a containerd's folders with one image in it, as containerd leaves them.
type store struct {
	t       testing.TB
	options salvage.Options
	blobs   map[string]string // by digest
	image   string            // digest of the manifest
}

func newStore(t testing.TB) *store {
	t.Helper()
	dir := t.TempDir()
	s := &store{t: t, blobs: map[string]string{}, options: salvage.Options{
		Place:     salvage.Place{Root: filepath.Join(dir, "root"), State: filepath.Join(dir, "state"), Address: filepath.Join(dir, "c.sock")},
		Namespace: "ours", RunDir: filepath.Join(dir, "run"), Stamp: "now",
		Child: func(ctx context.Context) *exec.Cmd {
			cmd := exec.CommandContext(ctx, os.Args[0])
			cmd.Env = []string{childEnv + "=1", "GORACE=atexit_sleep_ms=0"} // under -race it would linger a second
			return cmd
		},
	}}
	for _, folder := range []string{filepath.Dir(s.metadata()), s.blobFolder(), filepath.Join(filepath.Dir(s.snapshots()), "snapshots", "1", "fs")} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	config, layer := s.blob(`{"architecture":"amd64","rootfs":{"layers":[]}}`), s.blob("a layer")
	s.image = s.blob(fmt.Sprintf(`{"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"digest":%q,"size":%d},"layers":[{"digest":%q,"size":7}]}`,
		config, len(s.blobs[config]), layer))
	s.fill(map[string]map[string]string{
		s.image: {"containerd.io/gc.ref.content.config": config, "containerd.io/gc.ref.content.l.0": layer},
		config:  {}, layer: {},
	})
	return s
}

func (s *store) metadata() string {
	return filepath.Join(s.options.Root, "io.containerd.metadata.v1.bolt/meta.db")
}
func (s *store) snapshots() string {
	return filepath.Join(s.options.Root, "io.containerd.snapshotter.v1.overlayfs/metadata.db")
}
func (s *store) blobFolder() string {
	return filepath.Join(s.options.Root, "io.containerd.content.v1.content/blobs/sha256")
}

// blob puts content on disk.
func (s *store) blob(text string) string {
	s.t.Helper()
	sum := sha256.Sum256([]byte(text))
	name := hex.EncodeToString(sum[:])
	if err := os.WriteFile(filepath.Join(s.blobFolder(), name), []byte(text), 0o444); err != nil {
		s.t.Fatal(err)
	}
	s.blobs["sha256:"+name] = text
	return "sha256:" + name
}

// update changes a database, and makes it where there is none.
func (s *store) update(path string, do func(*tree)) {
	s.t.Helper()
	db, err := bbolt.Open(path, 0o644, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	if err := db.Update(func(tx *bbolt.Tx) error { do(&tree{s.t, tx}); return nil }); err != nil {
		s.t.Fatal(err)
	}
}

// tree writes and reads paths.
type tree struct {
	t  testing.TB
	tx *bbolt.Tx
}

func (w *tree) bucket(path string) *bbolt.Bucket {
	w.t.Helper()
	parts := strings.Split(path, "|")
	bucket, err := w.tx.CreateBucketIfNotExists([]byte(parts[0]))
	for _, part := range parts[1:] {
		if err == nil {
			bucket, err = bucket.CreateBucketIfNotExists([]byte(part))
		}
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return bucket
}

func (w *tree) put(path string, values map[string]string) {
	w.t.Helper()
	bucket := w.bucket(path)
	for key, value := range values {
		if err := bucket.Put([]byte(key), []byte(value)); err != nil {
			w.t.Fatal(err)
		}
	}
}

func number(n int) string { return string(binary.AppendVarint(nil, int64(n))) }

func moment() string {
	text, err := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).MarshalBinary()
	if err != nil {
		panic(err)
	}
	return string(text)
}

// fill writes what containerd would have: our image and its snapshot, and something of
// somebody else's.
func (s *store) fill(labels map[string]map[string]string) {
	times := map[string]string{"createdat": moment(), "updatedat": moment()}
	with := func(more map[string]string) map[string]string {
		all := maps.Clone(times)
		maps.Copy(all, more)
		return all
	}
	s.update(s.metadata(), func(w *tree) {
		w.put("v1", map[string]string{"version": number(4)})
		for digest, refs := range labels {
			w.put("v1|ours|content|blob|"+digest, with(map[string]string{"size": number(len(s.blobs[digest]))}))
			w.put("v1|ours|content|blob|"+digest+"|labels", refs)
		}
		w.put("v1|ours|images|line/app:1", times)
		w.put("v1|ours|images|line/app:1|target", map[string]string{
			"digest": s.image, "mediatype": "application/vnd.oci.image.manifest.v1+json", "size": number(len(s.blobs[s.image])),
		})
		w.put("v1|ours|snapshots|overlayfs|chain", with(map[string]string{"name": "ours/5/chain"}))
		if err := w.bucket("v1|ours|snapshots|overlayfs").SetSequence(5); err != nil {
			s.t.Fatal(err)
		}
		w.put("v1|theirs|leases|held", times)
		w.put("v1|theirs|leases|held|labels", map[string]string{"a": "b"})
		if err := w.bucket("v1|theirs|leases").SetSequence(77); err != nil {
			s.t.Fatal(err)
		}
	})
	s.update(s.snapshots(), func(w *tree) {
		w.put("v1|snapshots|ours/5/chain", with(map[string]string{"id": "\x01", "kind": "\x03"}))
		w.bucket("v1|parents")
	})
}

func (s *store) examine() salvage.Condition {
	s.t.Helper()
	got, err := salvage.Examine(s.t.Context(), s.options)
	if err != nil {
		s.t.Fatal(err)
	}
	return got
}

func (s *store) repair() salvage.Report {
	s.t.Helper()
	report, err := salvage.Repair(s.t.Context(), s.options)
	if err != nil {
		s.t.Fatalf("%v after %q", err, report.Steps)
	}
	return report
}

// foreign is what the other namespace has.
func (s *store) foreign() (label string, sequence uint64) {
	s.update(s.metadata(), func(w *tree) {
		if root := w.tx.Bucket([]byte("v1")); root == nil || root.Bucket([]byte("theirs")) == nil {
			return
		}
		label = string(w.bucket("v1|theirs|leases|held|labels").Get([]byte("a")))
		sequence = w.bucket("v1|theirs|leases").Sequence()
	})
	return label, sequence
}

func TestExamine_Sound(t *testing.T) {
	s := newStore(t)
	before, err := os.ReadFile(s.metadata())
	if err != nil {
		t.Fatal(err)
	}
	if got := s.examine(); got.State != salvage.Whole || len(got.Foreign) != 1 || got.Foreign[0] != "theirs" {
		t.Errorf("got %+v, want a whole file in which theirs have something", got)
	}
	if report := s.repair(); report.Repaired || len(report.Steps) > 0 {
		t.Errorf("got %+v, want nothing done", report)
	}
	if after, err := os.ReadFile(s.metadata()); err != nil || string(after) != string(before) {
		t.Errorf("the file was changed, %v", err)
	}
}

// TestExamine_Disagreements turns one record at a time into what containerd would not have
// written. After the repair our image has its names, and what is theirs is as it was.
func TestExamine_Disagreements(t *testing.T) {
	remove := func(path, name string) func(*store) {
		return func(s *store) {
			s.update(s.metadata(), func(w *tree) {
				if err := w.bucket(path).DeleteBucket([]byte(name)); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
	set := func(path string, values map[string]string) func(*store) {
		return func(s *store) {
			s.update(s.metadata(), func(w *tree) { w.put(strings.ReplaceAll(path, "IMAGE", s.image), values) })
		}
	}
	label := map[string]string{"holdfast.workload": "line/app", "holdfast.spec-hash": "x", "holdfast.digest": "y"}
	for name, c := range map[string]struct {
		harm func(*store)
		want string
	}{
		"Time":          {set("v1|ours|images|line/app:1", map[string]string{"createdat": "xx"}), "createdat"},
		"Name":          {set("v1|ours|images|line\xff/app:1|target", map[string]string{"size": number(1)}), "is no text"},
		"Label":         {set("v1|ours|content|blob|IMAGE|labels", map[string]string{"a": "\xff"}), "is no text"},
		"Target":        {set("v1|ours|images|line/app:1|target", map[string]string{"digest": "sha256:00"}), "is not recorded"},
		"MediaType":     {set("v1|ours|images|line/app:1|target", map[string]string{"mediatype": "\xff"}), "media type"},
		"Size":          {set("v1|ours|content|blob|IMAGE", map[string]string{"size": number(3)}), "bytes and should have"},
		"Reference":     {set("v1|ours|content|blob|IMAGE|labels", map[string]string{"containerd.io/gc.ref.content.l.0": "sha256:00"}), "nothing holds"},
		"Digest":        {set("v1|ours|content|blob|sha256:0g", map[string]string{"size": number(3)}), "is no digest"},
		"Namespace":     {remove("v1", "ours"), "is not there, and its snapshots are"},
		"Object":        {set("v1|ours|imagez", map[string]string{"a": "b"}), "nothing is called"},
		"Sequence":      {remove("v1|ours", "snapshots"), "number 5 is given out"},
		"Snapshot":      {set("v1|ours|snapshots|overlayfs|chain", map[string]string{"name": "ours/6/chain"}), "the snapshotter has no"},
		"Parent":        {set("v1|ours|snapshots|overlayfs|chain", map[string]string{"parent": "nobody"}), "parent"},
		"Container":     {set("v1|ours|containers|a|runtime", map[string]string{"name": "io.cuntainerd.runc.v2"}), "there is no runtime"},
		"Spec":          {set("v1|ours|containers|a", map[string]string{"spec": "\x0a\x7f"}), "its spec"},
		"OurLabels":     {func(s *store) { s.container(label, "holdfast.spec-hash") }, "it has no label holdfast.spec-hash"},
		"NoSnapshotter": {set("v1|ours|containers|a", map[string]string{"snapshotter": "overlaxfs"}), "there is no snapshotter"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			c.harm(s)
			if got := s.examine(); got.State != salvage.Disagrees || !strings.Contains(got.Why, c.want) {
				t.Fatalf("got %+v, want a disagreement over %q", got, c.want)
			}
			s.options.Wanted = []string{s.image, "sha256:11"}
			report := s.repair()
			if !report.Repaired || len(report.Missing) != 1 || report.Missing[0] != "sha256:11" {
				t.Errorf("got %+v, want it repaired but for what is not there", report)
			}
			s.wantSound(t)
			if label, sequence := s.foreign(); label != "b" || sequence != 77 {
				t.Errorf("got %q and %d of theirs, want b and 77: %q", label, sequence, report.Steps)
			}
		})
	}
	t.Run("SoundContainer", func(t *testing.T) { // the control: with all labels nothing is wrong
		s := newStore(t)
		s.container(label, "")
		if got := s.examine(); got.State != salvage.Whole {
			t.Errorf("got %+v, want whole", got)
		}
	})
}

// container records one with all labels but one.
func (s *store) container(labels map[string]string, without string) {
	s.update(s.metadata(), func(w *tree) {
		w.put("v1|ours|containers|a|runtime", map[string]string{"name": "io.containerd.runc.v2"})
		w.put("v1|ours|containers|a", map[string]string{"spec": "\x0a\x01x\x12\x01y", "snapshotter": "overlayfs"})
		rest := maps.Clone(labels)
		delete(rest, without)
		w.put("v1|ours|containers|a|labels", rest)
	})
}

// wantSound wants the image under its digest, and nothing to complain of.
func (s *store) wantSound(t *testing.T) {
	t.Helper()
	if got := s.examine(); got.State != salvage.Whole {
		t.Errorf("got %+v after the repair, want whole", got)
	}
	s.update(s.metadata(), func(w *tree) {
		if got := string(w.bucket("v1|ours|images|" + s.image + "|target").Get([]byte("digest"))); got != s.image {
			t.Errorf("got %q under the image's digest, want %s", got, s.image)
		}
	})
}

func TestRepair_KeepsNames(t *testing.T) {
	s := newStore(t)
	s.update(s.metadata(), func(w *tree) { w.put("v1|ours|imagez", map[string]string{"a": "b"}) })
	report := s.repair()
	if got := fmt.Sprint(report.Images); got != fmt.Sprint([]string{"line/app:1", s.image}) {
		t.Errorf("got images %s, want the name that could be read and the digest", got)
	}
}

// TestRepair_Damaged damages the file in many ways: whatever is left of it, the image is
// there afterwards.
func TestRepair_Damaged(t *testing.T) {
	damaged := 0
	const tries = 60
	for seed := range uint64(tries) {
		s := newStore(t)
		r := rand.New(rand.NewPCG(seed, 1))
		path := s.metadata()
		if seed%4 == 3 {
			path = s.snapshots()
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for range 1 + r.IntN(2000) {
			text[r.IntN(len(text))] ^= 1 << r.IntN(8)
		}
		if seed%3 == 0 {
			text = text[:r.IntN(len(text))]
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
		if before := s.examine(); before.State.Broken() {
			damaged++
		}
		s.repair()
		if got := s.examine(); got.State != salvage.Whole {
			t.Errorf("seed %d: got %+v after the repair, want whole", seed, got)
		}
	}
	if t.Logf("%d of %d were found damaged", damaged, tries); damaged < tries/2 {
		t.Errorf("got %d of %d damages found, want half at least", damaged, tries)
	}
}

func TestRepair_Rot(t *testing.T) {
	s := newStore(t)
	if err := errors.Join(os.Truncate(s.metadata(), 100), os.WriteFile(filepath.Join(s.blobFolder(), strings.TrimPrefix(s.image, "sha256:")), []byte("{}"), 0o644)); err != nil {
		t.Fatal(err)
	}
	s.options.Wanted = []string{s.image}
	report := s.repair()
	if len(report.Missing) != 1 || len(report.Images) != 0 {
		t.Errorf("got %+v, want the image missing", report)
	}
	if _, err := os.Stat(filepath.Join(s.blobFolder(), strings.TrimPrefix(s.image, "sha256:"))); err == nil {
		t.Error("content that is something else is still there")
	}
	if kept, err := os.Stat(s.metadata() + ".damaged-now"); err != nil || kept.Size() != 100 {
		t.Errorf("the damaged file was not kept: %v", err)
	}
}

func TestRepair_Gone(t *testing.T) {
	s := newStore(t)
	if err := os.Remove(s.metadata()); err != nil {
		t.Fatal(err)
	}
	if got := s.examine(); got.State != salvage.Damaged {
		t.Errorf("got %+v of metadata that is gone, want damaged", got)
	}
	s.repair()
	s.wantSound(t)
}

func TestRepair_HeldOpen(t *testing.T) {
	s := newStore(t)
	file, err := os.OpenFile(s.metadata(), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if _, err := salvage.Repair(t.Context(), s.options); !errors.Is(err, edge.ErrLocked) || edge.HintOf(err) == "" {
		t.Errorf("got %v, want %v with a hint", err, edge.ErrLocked)
	}
	if got := s.examine(); got.State != salvage.Held {
		t.Errorf("got %+v, want held", got)
	}
}

// TestExamine_NoChild has a check that cannot be made: then nothing is known, and nothing
// is done.
func TestExamine_NoChild(t *testing.T) {
	for name, child := range map[string]func(ctx context.Context) *exec.Cmd{
		"NoProgram": func(ctx context.Context) *exec.Cmd { return exec.CommandContext(ctx, "/does/not/exist") },
		"NoAnswer":  func(ctx context.Context) *exec.Cmd { return exec.CommandContext(ctx, "true") },
		"Killed":    func(ctx context.Context) *exec.Cmd { return exec.CommandContext(ctx, "sh", "-c", "kill -9 $$") },
		"Refuses":   func(ctx context.Context) *exec.Cmd { return exec.CommandContext(ctx, "sh", "-c", "exit 1") },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			if err := os.Truncate(s.metadata(), 100); err != nil {
				t.Fatal(err)
			}
			s.options.Child = child
			if report, err := salvage.Repair(t.Context(), s.options); err == nil || len(report.Steps) > 0 {
				t.Errorf("got %+v and no error, want nothing done", report)
			}
		})
	}
}

func TestChildMain_Nonsense(t *testing.T) {
	if code := salvage.ChildMain(strings.NewReader("nonsense"), os.Stderr); code == 0 {
		t.Error("got code 0 for nonsense")
	}
}

func TestLocate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.toml")
	for name, c := range map[string]struct {
		text string
		want salvage.Place
	}{
		"Empty":   {"", salvage.Place{Root: "/var/lib/containerd", State: "/run/containerd", Address: "/run/containerd/containerd.sock"}},
		"Written": {"version = 2\nroot = \"/data/c\" # big\nstate='/run/c'\n[grpc]\n  address = \"/run/c/c.sock\"\n[debug]\n  address = \"/x\"\n", salvage.Place{Root: "/data/c", State: "/run/c", Address: "/run/c/c.sock"}},
		"Version4": {"version = 4\n[plugins]\n  [plugins.'io.containerd.server.v1.grpc']\n    address = '/run/d.sock'\n  [plugins.'x']\n  root = '/no'\n",
			salvage.Place{Root: "/var/lib/containerd", State: "/run/containerd", Address: "/run/d.sock"}},
		"Broken": {"root = \"/data\nstate = 7\n", salvage.Place{Root: "/var/lib/containerd", State: "/run/containerd", Address: "/run/containerd/containerd.sock"}},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, []byte(c.text), 0o644); err != nil {
				t.Fatal(err)
			}
			if got, err := salvage.Locate(path); err != nil || got != c.want {
				t.Errorf("got %+v, %v, want %+v", got, err, c.want)
			}
		})
	}
	t.Run("Absent", func(t *testing.T) {
		if got, err := salvage.Locate(path + ".none"); err != nil || got.Root != "/var/lib/containerd" {
			t.Errorf("got %+v, %v, want the defaults", got, err)
		}
	})
}

func FuzzLocate(f *testing.F) {
	f.Add("root = \"/data/c\"\n[grpc]\naddress='/x'\n")
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "config.toml")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		place, err := salvage.Locate(path)
		if err == nil && (place.Root == "" || place.State == "" || place.Address == "") {
			t.Errorf("got %+v of %q", place, text)
		}
		if _, err := json.Marshal(place); err != nil {
			t.Error(err)
		}
	})
}
