package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/cli"
)

// keeper stands for a service manager: it starts the launcher, and starts it again whenever
// it has ended.
type keeper struct {
	n     *node
	dress func(*exec.Cmd) // before it starts; nil: nothing
	ended sync.WaitGroup

	mu      sync.Mutex // guards what follows
	current *exec.Cmd
	over    bool
}

// keep has the agent of a node run under a service manager, by the launcher, until it is let
// go.
func (n *node) keep() *keeper {
	n.t.Helper()
	return n.keepAs(nil)
}

func (n *node) keepAs(dress func(*exec.Cmd)) *keeper {
	n.t.Helper()
	k := &keeper{n: n, dress: dress}
	k.ended.Go(k.run)
	n.t.Cleanup(k.letGo)
	n.await("the agent to answer", func(ctx context.Context) error {
		_, err := n.Client().Status(ctx)
		return err
	})
	return k
}

func (k *keeper) run() {
	for {
		cmd, err := k.start()
		if err != nil || cmd == nil {
			return
		}
		_ = cmd.Wait() // however it ended, it is started again
	}
}

func (k *keeper) start() (*exec.Cmd, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.over {
		return nil, nil
	}
	log, err := os.OpenFile(k.n.AgentLog(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(shop.binary(), append([]string{"launch"}, k.n.Arguments()[1:]...)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), "HOLDFAST_SLOTS="+k.n.slots())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if k.dress != nil {
		k.dress(cmd)
	}
	k.current = cmd
	err = cmd.Start()
	return cmd, err
}

// kill ends the agent as a crash would; it is started again.
func (k *keeper) kill() {
	k.mu.Lock()
	defer k.mu.Unlock()
	_ = k.current.Process.Kill()
}

// letGo ends the agent for good.
func (k *keeper) letGo() {
	k.mu.Lock()
	k.over = true
	_ = k.current.Process.Signal(syscall.SIGTERM)
	k.mu.Unlock()
	k.ended.Wait()
}

func (n *node) slots() string { return filepath.Join(n.StateFolder(), "slots") }

// shelf is where releases are made, and a web server that has them.
type shelf struct {
	*fleet
	dir    string
	server *httptest.Server
	asked  *asked
}

// asked is what of programs was asked for.
type asked struct {
	mu     sync.Mutex // guards ranges
	ranges []string
}

func newShelf(f *fleet) *shelf {
	s := &shelf{fleet: f, dir: filepath.Join(f.keep, "..", "releases"), asked: &asked{}}
	files := http.FileServer(http.Dir(s.dir))
	s.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "amd64") {
			s.asked.mu.Lock()
			s.asked.ranges = append(s.asked.ranges, r.Header.Get("Range"))
			s.asked.mu.Unlock()
		}
		files.ServeHTTP(w, r)
	}))
	f.t.Cleanup(s.server.Close)
	return s
}

func (s *shelf) folder(version string) string { return filepath.Join(s.dir, version) }
func (s *shelf) url(version string) string    { return s.server.URL + "/" + version }

// program links a program of a version into its folder.
func (s *shelf) program(version, pkg, flags string) {
	s.t.Helper()
	if err := os.MkdirAll(s.folder(version), 0o755); err != nil {
		s.t.Fatal(err)
	}
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-tags", tags,
		"-ldflags", "-s -w -buildid= -X main.version="+version+" "+flags, "-o", filepath.Join(s.folder(version), "holdfast-linux-amd64"), pkg)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		s.t.Fatalf("build %s: %v\n%s", pkg, err, out)
	}
}

// other makes a version that is the agent but for its name and what it does wrong, and
// releases it.
func (s *shelf) other(version string, sequence int, mode string) (digest string) {
	s.t.Helper()
	s.program(version, "./testdata/otheragent", "-X main.real="+shop.binary()+" -X main.mode="+mode)
	return s.release(version, sequence)
}

// pad makes a program longer by what does not matter to it.
func (s *shelf) pad(version string, more int) {
	s.t.Helper()
	file, err := os.OpenFile(filepath.Join(s.folder(version), "holdfast-linux-amd64"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	_, err = file.Write(bytes.Repeat([]byte("padding "), more/8))
	if err := errors.Join(err, file.Close()); err != nil {
		s.t.Fatal(err)
	}
}

// release writes and signs the document, and returns the digest it is named by.
func (s *shelf) release(version string, sequence int) (digest string) {
	s.t.Helper()
	folder := s.folder(version)
	document := filepath.Join(folder, edge.ReleaseFile)
	run(s.t, "release", "build", folder, "--version", version, "--sequence", fmt.Sprint(sequence)).want(s.t, cli.ExitOK)
	run(s.t, "release", "sign", document, "--key", s.desk.key("release-1"), "--root", s.desk.root(), "--out", document).want(s.t, cli.ExitOK)
	said := run(s.t, "release", "verify", folder, "--root", s.desk.root())
	said.want(s.t, cli.ExitOK, "release "+version, "linux/amd64")
	_, digest, _ = strings.Cut(strings.TrimSpace(said.stdout), "release: ")
	return digest
}

// agent is how the agent of a node stands, whichever answers.
func (n *node) agent(ctx context.Context) (edge.AgentReport, error) {
	status, err := n.Client().Status(ctx)
	return status.Agent, err
}

// awaitAgent waits until the agent stands as it should.
func (n *node) awaitAgent(what string, is func(edge.AgentReport) bool) edge.AgentReport {
	n.t.Helper()
	var now edge.AgentReport
	n.await("the agent to be "+what, func(ctx context.Context) (err error) {
		if now, err = n.agent(ctx); err == nil && !is(now) {
			err = fmt.Errorf("it is %+v", now)
		}
		return err
	})
	return now
}

// awaitKeptVersion waits until a release runs and is confirmed.
func (n *node) awaitKeptVersion(sequence uint64) {
	n.t.Helper()
	n.awaitAgent(fmt.Sprintf("of sequence %d for good", sequence), func(r edge.AgentReport) bool { return r.Sequence == sequence && !r.Trial })
}

// awaitLastUpdate waits until the last update is told to have ended so.
func (n *node) awaitLastUpdate(version string, result edge.AgentResult) {
	n.t.Helper()
	n.awaitAgent(fmt.Sprintf("after an update to %q that was %s", version, result), func(r edge.AgentReport) bool {
		return r.Last.Version == version && r.Last.Result == result && (r.Last.Why == "") == (result == edge.AgentKept)
	})
}

// TestAgentUpdate updates the agent in every way, to good versions and to bad ones, with a
// real broker, containerd and launcher, while a model serves.
func TestAgentUpdate(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.attend()
	n, _ := f.join("gw-a", digitsService(1))
	n.awaitTold()
	s := newShelf(f)
	s.program("e2e-2", "holdfast", "")
	second := s.release("e2e-2", 2)
	stick := filepath.Join(n.Folder(), "stick")
	n.stopAgent()
	n.Configure("update.confirmAfter=2s", "update.folder="+stick)
	k := n.keep()
	t.Cleanup(func() { // before the node is left as it was
		k.letGo()
		os.RemoveAll(n.slots())
		os.Remove(filepath.Join(n.StateFolder(), "update.json"))
		n.startAgent()
	})
	before := n.awaitReady("digits", 1)
	n.awaitTold()

	t.Run("ByCommand", func(t *testing.T) {
		f, n := f.in(t), n.in(t)
		stream, door := n.startStream(4, isAway, patient), n.watchDoor()
		stream.more(50)
		f.command("gw-a", "update", second, s.url("e2e-2"), "--id", "update-2").want(t, cli.ExitOK, "succeeded", "version: e2e-2", "from: e2e")
		stream.more(50)
		stream.stop()
		if stream.gap > 3*time.Second {
			t.Errorf("the longest time without an answer was %v", stream.gap)
		}
		longest, answers := door.away()
		t.Logf("figure: the local API did not answer for %v at the longest, of %d answers", longest.Round(time.Millisecond), answers)
		n.wantSame(before)
		n.awaitKeptVersion(2)
		n.awaitLastUpdate("e2e-2", edge.AgentKept)
		n.verb("status").want(t, cli.ExitOK, "holdfast e2e-2", "from slot a")
		n.wantOneReply(f, "update-2", edge.StageSucceeded)
		f.command("gw-a", "update", second, s.url("e2e-2")).want(t, cli.ExitOK, "succeeded")
		n.awaitNoWarnings()
	})
	t.Run("EndsAtOnce", func(t *testing.T) {
		f, n, s := f.in(t), n.in(t), s.in(t)
		bad := s.other("e2e-3", 3, "ending")
		f.command("gw-a", "update", bad, s.url("e2e-3"), "--id", "update-3").wantFailed(t, "version_rejected", "e2e-3", "left")
		n.wantSame(before)
		n.awaitKeptVersion(2)
		n.awaitWarning("agent-fell-back", "e2e-3")
		n.awaitLastUpdate("e2e-3", edge.AgentLeft)
		n.wantOneReply(f, "update-3", edge.StageFailed)
		f.command("gw-a", "update", bad, s.url("e2e-3")).wantFailed(t, "version_rejected")
		n.verb("update", s.folder("e2e-3")).want(t, cli.ExitUsage, "was tried here and left")
	})
	t.Run("Blind", func(t *testing.T) {
		f, n, s := f.in(t), n.in(t), s.in(t)
		bad := s.other("e2e-4", 4, "blind")
		f.command("gw-a", "update", bad, s.url("e2e-4"), "--id", "update-4").wantFailed(t, "version_rejected", "containerd does not answer, and did before")
		n.wantSame(before)
		n.awaitKeptVersion(2)
		n.wantOneReply(f, "update-4", edge.StageFailed)
	})
	t.Run("FailsItsSelfTest", func(t *testing.T) {
		n, s := n.in(t), s.in(t)
		for i, c := range [][2]string{{"lying", "it says that it is version"}, {"crashing", "panic: a fault of this version"}, {"greedy", "bytes of memory"}} {
			version := "e2e-5" + c[0]
			s.other(version, 5+i, c[0])
			n.verb("update", s.folder(version)).want(t, cli.ExitUsage, c[1])
			n.awaitLastUpdate(version, edge.AgentRefused)
		}
		n.wantSame(before)
		n.awaitKeptVersion(2)
	})
	t.Run("NotSigned", func(t *testing.T) {
		n, s := n.in(t), s.in(t)
		folder := s.folder("e2e-2")
		document := filepath.Join(folder, edge.ReleaseFile)
		run(t, "release", "build", folder, "--version", "e2e-2", "--sequence", "20").want(t, cli.ExitOK)
		run(t, "release", "sign", document, "--key", s.desk.key("policy-1"), "--out", document).want(t, cli.ExitOK)
		n.verb("update", folder).want(t, cli.ExitUsage, "wrong_role")
		s.release("e2e-2", 1)
		n.verb("update", folder).want(t, cli.ExitUsage, "rollback")
	})
	t.Run("ByPolicyAndAfterKills", func(t *testing.T) {
		n, s := n.in(t), s.in(t)
		s.other("e2e-10", 10, "good")
		s.pad("e2e-10", 12<<20) // so that there is a middle
		wanted := s.release("e2e-10", 10)
		n.apply(n.desk.sign(draft{version: 2, services: []string{digitsService(1)}, sections: []string{
			fmt.Sprintf("agent: {release: %q, sources: [%q, %q], bandwidth: 4Mi}", wanted, s.url("nowhere"), s.url("e2e-10")),
		}})).want(t, cli.ExitOK)
		n.awaitAgent("fetching some of it", func(r edge.AgentReport) bool { return r.Done >= 4<<20 })
		k.kill()
		n.awaitKeptVersion(10)
		n.wantSame(before)
		s.wantResumed()
	})
	t.Run("ByFolder", func(t *testing.T) {
		n, s := n.in(t), s.in(t)
		s.other("e2e-11", 11, "good")
		if err := os.Symlink(s.folder("e2e-11"), stick); err != nil {
			t.Fatal(err)
		}
		n.awaitKeptVersion(11)
		n.wantSame(before)
		if err := os.Remove(stick); err != nil {
			t.Fatal(err)
		}
		n.awaitWarning("agent-update-refused", "rollback") // the policy still wants the version before
	})
}

// in is the shelf for a part of the test.
func (s *shelf) in(t testing.TB) *shelf {
	return &shelf{fleet: s.fleet.in(t), dir: s.dir, server: s.server, asked: s.asked}
}

// wantResumed wants a program to have been asked for from the middle.
func (s *shelf) wantResumed() {
	s.t.Helper()
	s.asked.mu.Lock()
	defer s.asked.mu.Unlock()
	if !slices.ContainsFunc(s.asked.ranges, func(from string) bool { return from != "" }) {
		s.t.Errorf("programs were asked for from %q, and none from the middle", s.asked.ranges)
	}
}

// wantOneReply wants a command to have come to one final reply.
func (n *node) wantOneReply(f *fleet, id string, stage edge.Stage) {
	n.t.Helper()
	n.awaitTold()
	n.await("the final reply of "+id, func(context.Context) error {
		replies := f.finalReplies("gw-a")[id]
		if len(replies) == 0 {
			return errors.New("there is none")
		}
		if len(replies) > 1 || replies[0].Stage != stage {
			n.t.Errorf("the final replies are %+v, want one, %s", replies, stage)
		}
		return nil
	})
}
