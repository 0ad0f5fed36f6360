package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// window is how many messages a session of ours has on their way, and so the baseline.
const window = 32

// drain takes how long the node needs to tell its fleet what it could not for a day or
// more: from its start until the fleet has confirmed all of it. The baseline is the MQTT
// library alone, with as many messages of that length to the same broker, somebody
// receiving them.
func (l *linked) drain(ctx context.Context) error {
	if err := l.node.KillAgent(); err != nil {
		return err
	}
	before, err := l.kept()
	if err != nil {
		return err
	}
	begun := time.Now()
	if err := l.node.StartAgent(ctx); err != nil {
		return err
	}
	if err := l.awaitTold(ctx); err != nil {
		return err
	}
	took := time.Since(begun)
	after, err := l.kept()
	if err != nil {
		return err
	}
	entries, length := after.lines-before.lines, (after.bytes-before.bytes)/max(1, after.lines-before.lines)
	rate := float64(entries) / took.Seconds()
	plain, err := l.plain(ctx, entries, length)
	if err != nil {
		return err
	}
	row(fmt.Sprintf("%d entries of history, %d bytes each, confirmed", entries, length), perSecond(rate), perSecond(plain), rate/plain,
		fmt.Sprintf("took %v; at most half of the link by design (baseline: the MQTT library alone)", took.Round(100*time.Millisecond)))
	return l.weighAfter()
}

func perSecond(rate float64) string { return fmt.Sprintf("%.0f/s", rate) }

// weighAfter tells what the work has left, and what it took at its highest.
func (l *linked) weighAfter() error {
	values, err := processStatus(l.node.AgentPID())
	if err != nil {
		return err
	}
	row("resident memory after that, and its peak", mebibytes(values["VmRSS"]), mebibytes(values["VmHWM"]), 0, "≤ 24 MiB (second: the peak)")
	row("  of it anonymous", mebibytes(values["RssAnon"]), "", 0, "≤ 10 MiB")
	return nil
}

// amount is how much history the fleet has kept of the node.
type amount struct{ lines, bytes int }

func (l *linked) kept() (a amount, err error) {
	files, err := filepath.Glob(filepath.Join(l.keep(), linkedSite, "history", linkedNode, "*.jsonl"))
	for _, path := range files {
		text, readErr := os.ReadFile(path)
		err = errors.Join(err, readErr)
		a.lines += bytes.Count(text, []byte("\n"))
		a.bytes += len(text)
	}
	return a, err
}

// plain is how many messages a second the library alone has acknowledged: a benchmark
// of package mqtt, where the library lives, as a process of its own.
func (l *linked) plain(ctx context.Context, messages, length int) (float64, error) {
	receiver := l.receiver(l.broker.Address(), "bench")
	if err := receiver.Start(); err != nil {
		return 0, fmt.Errorf("cannot receive: %w: apt-get install mosquitto-clients", err)
	}
	defer func() { _, _ = receiver.Process.Kill(), receiver.Wait() }()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	child := exec.CommandContext(ctx, "go", "test", "-tags", "grpcnotrace,nethttpomithttp2", "-run", "^$", "-bench", fmt.Sprintf("Library_Publish/Window%d$", window),
		"-benchtime", fmt.Sprintf("%dx", messages), "./mqtt")
	child.Env = append(os.Environ(), "HOLDFAST_BROKER="+l.broker.Address(), "HOLDFAST_BYTES="+strconv.Itoa(length))
	out, err := child.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("cannot measure the library alone: %w: %s", err, out)
	}
	fields := bytes.Fields(out)
	for i, field := range fields {
		if i > 0 && string(field) == "acknowledged/s" {
			return strconv.ParseFloat(string(fields[i-1]), 64)
		}
	}
	return 0, fmt.Errorf("cannot find the rate of the library alone in %q", out)
}

// receiver is mosquitto's own client, subscribed to a topic.
func (l *linked) receiver(address, topic string) *exec.Cmd {
	_, port, _ := net.SplitHostPort(address) // the stand's own
	receiver := exec.Command("mosquitto_sub", "-h", "127.0.0.1", "-p", port, "-t", topic, "-q", "1", "-k", "30")
	receiver.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return receiver
}
