package inbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"holdfast/edge"
	"holdfast/edge/inbox"
	"holdfast/edge/oip"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tasks answers what it is asked.
type tasks struct {
	mu    sync.Mutex
	asked []edge.Task
	most  int
	alive int
	takes time.Duration
	says  func(t edge.Task) edge.Settlement // nil: the answer
}

func (f *tasks) Infer(ctx context.Context, t edge.Task) edge.Settlement {
	f.mu.Lock()
	f.asked = append(f.asked, t)
	f.alive++
	f.most = max(f.most, f.alive)
	takes := f.takes
	f.mu.Unlock()
	timer := time.NewTimer(takes)
	defer timer.Stop()
	s := edge.Settlement{Task: t, Outcome: edge.Completed, Answer: edge.Answer{Payload: edge.Payload{Body: []byte(`{"model_name":"m","outputs":[{"name":"y","datatype":"INT32","shape":[1],"data":[3]}]}`)}}}
	select {
	case <-timer.C:
	case <-ctx.Done():
		s = edge.Settlement{Task: t, Outcome: edge.Cancelled, Err: edge.ErrCancelled}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.alive--
	if f.says != nil && s.Outcome == edge.Completed {
		s = f.says(t)
	}
	return s
}

type models struct{}

func (models) Model(name string) (oip.ModelMetadata, bool, bool) {
	return oip.ModelMetadata{Name: name, Inputs: []oip.TensorMetadata{{Name: "in", Datatype: "UINT8", Shape: []int64{-1}}}}, true, true
}

// warnings are those raised and not cleared.
type warnings struct {
	mu    sync.Mutex
	now   map[string]string
	count int
}

func (w *warnings) Raise(v edge.Warning) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.now[v.Subject] != v.Code {
		w.count++
	}
	w.now[v.Subject] = v.Code
}

// told is how many began to hold.
func (w *warnings) told() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count
}

func (w *warnings) Clear(code, subject string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.now[subject] == code {
		delete(w.now, subject)
	}
}

func (w *warnings) of(subject string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now[subject]
}

// all are the tasks so far, and how many there were at once.
func (f *tasks) all() ([]edge.Task, int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.asked), f.most
}

// change alters what the next tasks meet.
func (f *tasks) change(alter func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	alter()
}

// stand is an inbox that runs on one folder.
type stand struct {
	*inbox.Inbox
	t        *testing.T
	dir      string
	tasks    *tasks
	warnings *warnings
	stop     func()
}

func in(t *testing.T, dir string, f *tasks, more func(*inbox.Options), trigger edge.Trigger) *stand {
	t.Helper()
	s := &stand{t: t, dir: dir, tasks: f, warnings: &warnings{now: map[string]string{}}}
	o := inbox.Options{Tasks: f, Models: models{}, Warnings: s.warnings}
	if more != nil {
		more(&o)
	}
	var err error
	if s.Inbox, err = inbox.New(o); err != nil {
		t.Fatal(err)
	}
	trigger.Dir, trigger.Model = dir, "m"
	s.Triggers([]edge.Trigger{trigger, {MQTT: "a/b"}})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *stand) put(name, content string) {
	s.t.Helper()
	if err := os.MkdirAll(filepath.Dir(filepath.Join(s.dir, name)), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(content), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// files are those below the folder.
func (s *stand) files() string {
	s.t.Helper()
	var found []string
	err := filepath.WalkDir(s.dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			found = append(found, strings.TrimPrefix(path, s.dir+"/"))
		}
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	slices.Sort(found)
	return strings.Join(found, " ")
}

func (s *stand) want(files string) {
	s.t.Helper()
	synctest.Wait()
	if got := s.files(); got != files {
		s.t.Errorf("the folder holds %q, want %q", got, files)
	}
}

func (s *stand) verdict(name string) (v struct {
	File, Outcome, Reason, Detail, ID string
	Answer                            json.RawMessage
}) {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, name))
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return v
}

func TestInbox_Answers(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := in(t, dir, &tasks{}, nil, edge.Trigger{Glob: "*.raw", Class: edge.Batch, Tenant: "vision", Deadline: edge.Duration(time.Minute)})
		defer s.stop()
		for _, name := range []string{"a.raw", "b.txt", ".c.raw", "deep/d.raw"} {
			s.put(name, "\x01\x02\x03")
		}
		if err := os.Symlink("a.raw", filepath.Join(dir, "link.raw")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(400 * time.Millisecond)
		s.put("a.raw", "\x01\x02\x03\x04") // it is still being written
		time.Sleep(700 * time.Millisecond)
		synctest.Wait()
		if asked, _ := s.tasks.all(); len(asked) > 0 {
			t.Error("a file was taken that has just changed")
		}
		time.Sleep(time.Second)
		s.want(".c.raw b.txt deep/d.raw done/a.raw done/a.raw.json link.raw")
		asked, _ := s.tasks.all()
		got := asked[0]
		if len(asked) != 1 || got.Class != edge.Batch || got.Tenant != "vision" || got.Deadline.Sub(got.Arrived) != time.Minute || got.ID == "" {
			t.Errorf("asked %+v", asked)
		}
		if v := s.verdict("done/a.raw.json"); v.File != "a.raw" || v.Outcome != "completed" || len(v.Answer) == 0 || !strings.HasPrefix(v.ID, "sha256:") {
			t.Errorf("verdict = %+v", v)
		}
		s.put("a.raw", "again")
		time.Sleep(2 * time.Second)
		s.want(".c.raw b.txt deep/d.raw done/a-2.raw done/a-2.raw.json done/a.raw done/a.raw.json link.raw")
		if status := s.Status(); status.Folders != 1 || status.Outcomes[edge.Completed] != 2 || status.Inside != 0 {
			t.Errorf("status = %+v", status)
		}
	})
}

func TestInbox_Outcomes(t *testing.T) {
	for _, c := range []struct {
		name, content string
		says          func(edge.Task) edge.Settlement
		folder        string // empty: it stays
		reason        string
	}{
		{"Failed", "\x01", ends(edge.Failed, errors.New("model says no")), "failed", "model_error"},
		{"Missed", "\x01", ends(edge.Missed, edge.ErrDeadline), "failed", "deadline_missed"},
		{"Denied", "\x01", ends(edge.Refused, &edge.Refusal{Reason: edge.ReasonDenied}), "failed", "denied"},
		{"Unfit", `{"inputs":[]}`, nil, "failed", "invalid_request"},
		{"TooLarge", strings.Repeat("1", 2000), nil, "failed", "message_too_large"},
		{"NoRoom", "\x01", ends(edge.Refused, &edge.Refusal{Reason: edge.ReasonQueueFull}), "", ""},
		{"NobodyThere", "\x01", ends(edge.Failed, fmt.Errorf("cannot reach upstream: %w", edge.ErrUnavailable)), "", ""},
		{"GaveWay", "\x01", ends(edge.Evicted, &edge.Refusal{Reason: edge.ReasonDeadlineUnreachable}), "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				s := in(t, dir, &tasks{says: c.says}, func(o *inbox.Options) { o.MaxBytes = 1000 }, edge.Trigger{Class: edge.Normal})
				defer s.stop()
				s.put("a", c.content)
				time.Sleep(10 * time.Second)
				if c.folder == "" {
					s.want("a")
					if asked, _ := s.tasks.all(); len(asked) < 3 || len(asked) > 8 {
						t.Errorf("it was tried %d times in 10 s", len(asked))
					}
					s.tasks.change(func() { s.tasks.says = nil })
					time.Sleep(time.Minute)
					s.want("done/a done/a.json")
					return
				}
				s.want(c.folder + "/a " + c.folder + "/a.json")
				if v := s.verdict(c.folder + "/a.json"); v.Reason != c.reason {
					t.Errorf("verdict = %+v, want %s", v, c.reason)
				}
				if asked, _ := s.tasks.all(); len(asked) > 1 {
					t.Errorf("it was asked %d times", len(asked))
				}
			})
		})
	}
}

func ends(outcome edge.Outcome, err error) func(edge.Task) edge.Settlement {
	return func(t edge.Task) edge.Settlement { return edge.Settlement{Task: t, Outcome: outcome, Err: err} }
}

// TestInbox_Crashes begins with what a process may leave that ends between any two steps.
func TestInbox_Crashes(t *testing.T) {
	for _, c := range []struct {
		name  string
		left  []string
		asked int
	}{
		{"BeforeItWasAsked", []string{"a.raw"}, 1},
		{"WhileTheVerdictWasWritten", []string{"a.raw", "done/.a.raw.json"}, 1},
		{"BeforeTheFileFollowed", []string{"a.raw", "done/a.raw.json"}, 0},
		{"BeforeAFailureFollowed", []string{"a.raw", "failed/a.raw.json"}, 0},
		{"BeforeANamesakeFollowed", []string{"a.raw", "done/a.raw", "done/a.raw.json", "done/a-2.raw.json"}, 0},
		{"AfterIt", []string{"done/a.raw", "done/a.raw.json"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				s := in(t, dir, &tasks{}, nil, edge.Trigger{})
				defer s.stop()
				for _, name := range c.left {
					s.put(name, "\x02")
				}
				s.tell("a.raw", c.left)
				time.Sleep(3 * time.Second)
				synctest.Wait()
				if asked, _ := s.tasks.all(); len(asked) != c.asked {
					t.Errorf("it was asked %d times, want %d", len(asked), c.asked)
				}
				files := strings.Fields(s.files())
				for _, name := range files {
					if strings.HasSuffix(name, ".json") || name == "done/.a.raw.json" {
						continue
					}
					if !slices.Contains(files, name+".json") {
						t.Errorf("%s has no verdict: %q", name, files)
					}
				}
				if slices.Contains(files, "a.raw") {
					t.Errorf("the file has stayed: %q", files)
				}
			})
		})
	}
}

func TestInbox_Bounds(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := in(t, dir, &tasks{takes: 100 * time.Millisecond}, nil, edge.Trigger{})
		for i := range 20 {
			s.put(fmt.Sprintf("%02d", i), "\x01")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if asked, most := s.tasks.all(); most != 4 || len(asked) != 20 {
			t.Errorf("%d at once of %d, want 4 of 20", most, len(asked))
		}
		s.tasks.change(func() { s.tasks.takes = time.Hour })
		s.put("last", "\x01")
		time.Sleep(5 * time.Second)
		s.stop() // what is inside stays for the next process
		if got := s.files(); !strings.HasSuffix(got, " last") {
			t.Errorf("the folder holds %q", got)
		}
	})
}

func TestInbox_Folder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	synctest.Test(t, func(t *testing.T) {
		s := in(t, dir, &tasks{}, nil, edge.Trigger{})
		defer s.stop()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := s.warnings.of(dir); got != inbox.WarningFolder {
			t.Errorf("the warning is %q", got)
		}
		s.put("a", "\x01")
		time.Sleep(3 * time.Second)
		s.want("done/a done/a.json")
		if got := s.warnings.of(dir); got != "" {
			t.Errorf("the warning is %q, want none", got)
		}
	})
}

func TestNew_ChecksOptions(t *testing.T) {
	good := inbox.Options{Tasks: &tasks{}, Models: models{}, Warnings: &warnings{}}
	for name, spoil := range map[string]func(*inbox.Options){
		"NoTasks":    func(o *inbox.Options) { o.Tasks = nil },
		"NoModels":   func(o *inbox.Options) { o.Models = nil },
		"NoWarnings": func(o *inbox.Options) { o.Warnings = nil },
		"BelowZero":  func(o *inbox.Options) { o.Most = -1 },
	} {
		bad := good
		if spoil(&bad); name != "" {
			if _, err := inbox.New(bad); !errors.Is(err, edge.ErrInvalid) {
				t.Errorf("%s: got %v, want %v", name, err, edge.ErrInvalid)
			}
		}
	}
}
