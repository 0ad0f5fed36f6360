package boltfile_test

import (
	"context"
	"testing"

	"holdfast/edge/boltfile"
	"holdfast/edge/boltfile/filetest"
)

// record commits versions, lets the latest go bad, opens one commit back and goes on; the
// journal says what may be found.
func record(t *testing.T, newest uint64) []filetest.Step {
	t.Helper()
	o := options(t.TempDir())
	r := &filetest.Recorder{Path: o.Path}
	o.Disk = r
	file, _ := open(t, o, boltfile.Absent)
	r.Start(1)
	must(t, file.Rebuild(records(1)))
	r.Commit()
	r.Acknowledge(1)
	before := ""
	for v := uint64(2); v <= newest; v++ {
		before = read(t, o.Path)
		r.Start(v)
		commit(t, file, v)
		r.Commit()
		r.Acknowledge(v)
	}
	must(t, file.Close())
	r.Acknowledge(newest - 1) // the last one goes bad
	spoilLast(t, o.Path, before)
	r.Commit()
	file, found := open(t, o, boltfile.Older)
	wantVersion(t, found.Records, newest-1)
	commit(t, file, newest)
	r.Commit()
	r.Acknowledge(newest)
	must(t, file.Close())
	return r.Journal()
}

// TestFile_Crash loses power, then opens what is left.
func TestFile_Crash(t *testing.T) {
	t.Parallel()
	filetest.Crash{
		Journal: record(t, 6),
		Honest:  []filetest.Lie{{Name: "Everything"}},
		Controls: []filetest.Lie{
			{Name: "LyingSync", Drop: func(s filetest.Step) bool { return s.IsSync("") }},
			{Name: "NewFileWithoutSync", Drop: func(s filetest.Step) bool { return s.IsSync("test.db.new") }},
			{Name: "OlderFileWithoutSync", Drop: func(s filetest.Step) bool { return s.IsSync("test.db.older") }},
			{Name: "NoSyncOfTheFolder", Drop: filetest.Step.IsSyncDir},
		},
		States: 150,
		Open: func(ctx context.Context, dir string) (uint64, error) {
			file, found, _, err := openPatiently(ctx, options(dir))
			if err != nil {
				return 0, err
			}
			defer file.Close()
			return version(found.Records), checkRecords(found.Records)
		},
	}.Run(t)
}
