package relay_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"holdfast/edge/netns"
	"holdfast/runtime/relay"
)

// sayingVerb makes the test program a server that says its name to whoever calls, and
// then what it is told.
const sayingVerb = "saying"

func TestMain(m *testing.M) {
	switch {
	case len(os.Args) > 1 && os.Args[1] == relay.Verb:
		os.Exit(relay.Main(context.Background(), os.Args[2:], os.Stderr))
	case len(os.Args) > 2 && os.Args[1] == sayingVerb:
		os.Exit(saying(os.Args[2]))
	case len(os.Args) > 5 && os.Args[1] == replaceVerb:
		os.Exit(replace(os.Args[2], os.Args[3], os.Args[4], os.Args[5]))
	}
	goleak.VerifyTestMain(m)
}

const inside = 7000

// saying is an instance: in a network of its own, whose loopback it has to put up.
func saying(name string) int {
	up := exec.Command("ip", "link", "set", "lo", "up")
	if err := up.Run(); err != nil {
		return 1
	}
	listener, err := net.Listen("tcp4", ":"+strconv.Itoa(inside))
	if err != nil {
		return 1
	}
	fmt.Println("ready")
	for {
		conn, err := listener.Accept()
		if err != nil {
			return 1
		}
		go func() {
			fmt.Fprintln(conn, name)
			io.Copy(conn, conn)
			conn.Close()
		}()
	}
}

// instance is a process in a network of its own.
type instance struct {
	cmd    *exec.Cmd
	target relay.Target
}

func start(t testing.TB, name string) *instance {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", sayingVerb, name)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: unix.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	i := &instance{cmd: cmd}
	t.Cleanup(i.kill)
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("got %q, %v, want the server to be ready", line, err)
	}
	pid := uint32(cmd.Process.Pid)
	number, err := netns.Of(pid)
	if err != nil {
		t.Fatal(err)
	}
	i.target = relay.Target{PID: pid, Network: number, Port: inside}
	return i
}

func (i *instance) kill() {
	i.cmd.Process.Kill() // twice does no harm
	i.cmd.Wait()
}

// bench is a folder with a client of its relay.
type bench struct {
	*relay.Client
	folder string
}

func newBench(t testing.TB) *bench {
	t.Helper()
	folder, err := os.MkdirTemp("/tmp", "hfr-") // short, for its socket
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{relay.New(folder, nil), folder}
	t.Cleanup(func() {
		if _, err := b.Set(context.Background(), nil); err != nil {
			t.Error(err)
		}
		b.awaitNone(t)
		os.RemoveAll(folder)
	})
	return b
}

// pids are the relays of the folder.
func (b *bench) pids() (found []int) {
	commands, _ := filepath.Glob("/proc/[0-9]*/cmdline") // well formed
	for _, name := range commands {
		text, _ := os.ReadFile(name) // gone: empty
		if strings.Contains(string(text), "\x00"+b.folder+"\x00") {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name))) // by the pattern
			found = append(found, pid)
		}
	}
	return found
}

func (b *bench) awaitNone(t testing.TB) {
	t.Helper()
	await(t, "the relay's end", func() bool { return len(b.pids()) == 0 })
}

func await(t testing.TB, what string, is func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for until := time.Now().Add(15 * time.Second); !is(); <-ticker.C {
		if time.Now().After(until) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// set wants routes to be taken without a problem.
func (b *bench) set(t testing.TB, routes ...relay.Route) {
	t.Helper()
	problems, err := b.Set(t.Context(), routes)
	if err != nil || len(problems) > 0 {
		t.Fatalf("got %v, %v, want every route", problems, err)
	}
}

// free is an address of the loopback that nobody listens on.
func free(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// call returns what an address says first, with the connection.
func call(t *testing.T, address string) (string, *net.TCPConn) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, 2*time.Second)
	if err != nil {
		return "", nil
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second)) // a connection has deadlines
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		t.Fatalf("got %T", conn)
	}
	line, err := readLine(tcp)
	if err != nil {
		return "", tcp
	}
	return line, tcp
}

// readLine takes no more than the line.
func readLine(conn net.Conn) (string, error) {
	var line []byte
	for one := make([]byte, 1); ; {
		if _, err := io.ReadFull(conn, one); err != nil {
			return "", err
		}
		if one[0] == '\n' {
			return string(line), nil
		}
		line = append(line, one[0])
	}
}

// echoes wants an open connection to answer.
func echoes(t *testing.T, conn *net.TCPConn, text string) {
	t.Helper()
	if _, err := fmt.Fprintln(conn, text); err != nil {
		t.Errorf("cannot send: %v", err)
	}
	if got, err := readLine(conn); err != nil || got != text {
		t.Errorf("got %q, %v, want %q back", got, err, text)
	}
}

func TestRelay_Routes(t *testing.T) {
	b, one, two := newBench(t), start(t, "one"), start(t, "two")
	address := free(t)
	if got, _ := call(t, address); got != "" {
		t.Fatalf("got %q where nothing is published", got)
	}
	b.set(t, relay.Route{Listen: address, Targets: []relay.Target{one.target}})
	got, held := call(t, address)
	if got != "one" {
		t.Fatalf("got %q, want the one there is", got)
	}
	t.Run("BothWays", func(t *testing.T) {
		long := strings.Repeat("x", 1<<16)
		echoes(t, held, long)
		if err := held.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if rest, err := io.ReadAll(held); err != nil || len(rest) > 0 {
			t.Errorf("got %q, %v, want the end after the end", rest, err)
		}
	})
	t.Run("InTurn", func(t *testing.T) {
		b.set(t, relay.Route{Listen: address, Targets: []relay.Target{one.target, two.target}})
		seen := map[string]int{}
		for range 10 {
			name, _ := call(t, address)
			seen[name]++
		}
		if seen["one"] != 5 || seen["two"] != 5 {
			t.Errorf("got %v, want each half of them", seen)
		}
	})
	t.Run("SpareOnlyInNeed", func(t *testing.T) {
		spare, shut := one.target, two.target
		spare.Spare = true
		b.set(t, relay.Route{Listen: address, Targets: []relay.Target{spare, two.target}})
		for range 4 {
			if got, _ := call(t, address); got != "two" {
				t.Errorf("got %q, want the one that is ready", got)
			}
		}
		shut.Port++ // where nobody listens
		b.set(t, relay.Route{Listen: address, Targets: []relay.Target{spare, shut}})
		if got, _ := call(t, address); got != "one" {
			t.Errorf("got %q, want the one that takes it", got)
		}
	})
	t.Run("OpenOnesStay", func(t *testing.T) {
		_, conn := call(t, address)
		b.set(t, relay.Route{Listen: free(t), Targets: []relay.Target{two.target}})
		echoes(t, conn, "still there")
		if got, _ := call(t, address); got != "" {
			t.Errorf("got %q at a port that is taken back", got)
		}
	})
}

// TestRelay_Gone: who is gone answers nobody, least of all as another process.
func TestRelay_Gone(t *testing.T) {
	b, one := newBench(t), start(t, "one")
	address := free(t)
	host, err := net.Listen("tcp4", "127.0.0.1:"+strconv.Itoa(inside))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { host.Close() })
	go func() {
		for {
			conn, err := host.Accept()
			if err != nil {
				return
			}
			fmt.Fprintln(conn, "i am the host")
			conn.Close()
		}
	}()
	stranger := one.target
	stranger.PID = uint32(os.Getpid())
	b.set(t, relay.Route{Listen: address, Targets: []relay.Target{stranger}})
	if got, _ := call(t, address); got != "" {
		t.Errorf("got %q of a process that is not the instance", got)
	}
	stranger.Network = 0
	b.set(t, relay.Route{Listen: address, Targets: []relay.Target{stranger}})
	if got, _ := call(t, address); got != "i am the host" {
		t.Errorf("got %q, want what would be reached if nobody looked", got)
	}
	b.set(t, relay.Route{Listen: address, Targets: []relay.Target{one.target}})
	_, conn := call(t, address)
	one.kill()
	if _, err := readLine(conn); err == nil {
		t.Error("a connection outlives its instance")
	}
	if got, _ := call(t, address); got != "" {
		t.Errorf("got %q of nobody", got)
	}
}

func TestRelay_Problems(t *testing.T) {
	b, one := newBench(t), start(t, "one")
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	address, targets := free(t), []relay.Target{one.target}
	problems, err := b.Set(t.Context(), []relay.Route{
		{Listen: taken.Addr().String(), Targets: targets}, {Listen: address, Targets: targets}, {Listen: "198.51.100.1:80", Targets: targets},
	})
	if err != nil || len(problems) != 1 || !strings.Contains(problems[taken.Addr().String()], "address already in use") {
		t.Fatalf("got %v, %v, want the one that is taken", problems, err)
	}
	if got, _ := call(t, address); got != "one" {
		t.Errorf("got %q, want the others served", got)
	}
	t.Run("TriedAgain", func(t *testing.T) {
		taken.Close()
		b.set(t, relay.Route{Listen: taken.Addr().String(), Targets: targets})
		if got, _ := call(t, taken.Addr().String()); got != "one" {
			t.Errorf("got %q, want it once the address is free", got)
		}
	})
}

// TestRelay_Ends: a relay with nothing to do, or without its folder, is none; one that
// was killed comes back with the next list.
func TestRelay_Ends(t *testing.T) {
	one := start(t, "one")
	targets := []relay.Target{one.target}
	t.Run("WithNothingToDo", func(t *testing.T) {
		b := newBench(t)
		b.set(t)
		if pids := b.pids(); len(pids) > 0 {
			t.Errorf("got relays %v for nothing", pids)
		}
		b.set(t, relay.Route{Listen: free(t), Targets: targets})
		if pids := b.pids(); len(pids) != 1 || b.PID() != pids[0] {
			t.Errorf("got relays %v and %d, want one", pids, b.PID())
		}
		b.set(t)
		b.awaitNone(t)
		if got := b.PID(); got != 0 {
			t.Errorf("got %d of none", got)
		}
		if _, err := os.Lstat(b.folder); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("got %v, want its folder gone", err)
		}
	})
	t.Run("Killed", func(t *testing.T) {
		b, address := newBench(t), free(t)
		b.set(t, relay.Route{Listen: address, Targets: targets})
		before := b.pids()
		if len(before) != 1 {
			t.Fatalf("got relays %v, want one", before)
		}
		if err := unix.Kill(before[0], unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		b.awaitNone(t)
		b.set(t, relay.Route{Listen: address, Targets: targets})
		if got, _ := call(t, address); got != "one" {
			t.Errorf("got %q, want the port served again", got)
		}
	})
	t.Run("WithItsFolder", func(t *testing.T) {
		b := newBench(t)
		b.set(t, relay.Route{Listen: free(t), Targets: targets})
		if err := os.RemoveAll(b.folder); err != nil {
			t.Fatal(err)
		}
		b.awaitNone(t)
	})
}

// TestRelay_EndsWhenFull: when it is to end while all places are taken, it does.
func TestRelay_EndsWhenFull(t *testing.T) {
	folder := t.TempDir()
	run, err := relay.Small(folder, 1, 50*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	instance := start(t, "one")
	address := free(t)
	client := relay.New(folder, nil)
	if problems, err := client.Set(t.Context(), []relay.Route{{Listen: address, Targets: []relay.Target{instance.target}}}); err != nil || len(problems) > 0 {
		t.Fatalf("got %v, %v", problems, err)
	}
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	said := bufio.NewReader(conn)
	if line, err := said.ReadString('\n'); err != nil || line != "one\n" {
		t.Fatalf("got %q, %v", line, err)
	}
	if _, err := client.Set(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it does not end")
	}
	if _, err := said.ReadByte(); err == nil {
		t.Error("what was open is open still")
	}
}

// TestRelay_Replaced: a newer program takes the ports over and leaves alone what is open.
func TestRelay_Replaced(t *testing.T) {
	b, one, address := newBench(t), start(t, "one"), free(t)
	route := relay.Route{Listen: address, Targets: []relay.Target{one.target}}
	b.set(t, route)
	_, conn := call(t, address)
	before := b.pids()
	newer := filepath.Join(t.TempDir(), "newer.test")
	if err := copyProgram(newer); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(newer, replaceVerb, b.folder, address, fmt.Sprint(one.target.PID), fmt.Sprint(one.target.Network)).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	echoes(t, conn, "still there")
	if got, _ := call(t, address); got != "one" {
		t.Errorf("got %q, want the newer one to serve", got)
	}
	if now := b.pids(); len(now) != 2 || now[0] != before[0] && now[1] != before[0] {
		t.Errorf("got relays %v, want the newer one beside %v", now, before)
	}
	conn.Close()
	await(t, "the older one's end", func() bool { return len(b.pids()) == 1 })
}

func copyProgram(to string) error {
	own, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	return os.WriteFile(to, own, 0o755)
}

// replaceVerb makes the test program an agent that publishes one port.
const replaceVerb = "replace"

func replace(folder, address, pid, network string) int {
	target := relay.Target{Port: inside}
	if _, err := fmt.Sscan(pid+" "+network, &target.PID, &target.Network); err != nil {
		return 1
	}
	problems, err := relay.New(folder, nil).Set(context.Background(), []relay.Route{{Listen: address, Targets: []relay.Target{target}}})
	if err != nil || len(problems) > 0 {
		fmt.Println(problems, err)
		return 1
	}
	return 0
}
