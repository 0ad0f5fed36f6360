package e2e_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/edge"
	"holdfast/edge/cli"
)

// machineOf stands for a machine with two systems: a rauc, a loader, and a systemctl that
// starts it anew, which is a boot of another name and the end of the agent.
type machineOf struct {
	t   testing.TB
	dir string
}

// raucScript writes what rauc 1.8 does. Its service goes on when whoever asked has ended:
// so does this program, which nobody kills.
const raucScript = `#!/bin/sh
PATH=/usr/sbin:/usr/bin:/sbin:/bin
cd @DIR@ || exit 9
booted=$(cat booted); other=A; [ "$booted" = A ] && other=B
slot() {
	state=inactive; [ "$1" = "$booted" ] && state=booted
	good=bad; [ -e "good.$1" ] && good=good
	status=",\"slot_status\":{\"bundle\":{\"version\":\"$(cat version.$1)\"},\"status\":\"ok\"}"; [ -e busy ] && status=
	echo "{\"rootfs.$1\":{\"class\":\"rootfs\",\"bootname\":\"$1\",\"state\":\"$state\",\"boot_status\":\"$good\"$status}}"
}
case $1 in
status) echo "{\"compatible\":\"x\",\"booted\":\"$booted\",\"boot_primary\":\"rootfs.$(cat primary)\",\"slots\":[$(slot B),$(slot A)]}" ;;
info)
	version=$(sed -n 's/^signed version=//p' "$3")
	[ -n "$version" ] || { echo 'rauc-Message: Reading bundle' >&2; echo 'signature verification failed: no signer certificate' >&2; exit 1; }
	echo "{\"compatible\":\"x\",\"version\":\"$version\"}" ;;
install)
	[ ! -e busy ] || { echo 'Failed GDBus.Error: Already processing a different method' >&2; exit 2; }
	: >busy
	echo "$2" >>installs
	version=$(sed -n 's/^signed version=//p' "$2")
	echo installing; echo '  0% Installing'; echo ' 40% Verifying signature done.'
	while [ -e hold ]; do sleep 0.05; done
	if [ -e mismatch ]; then
		rm busy
		echo '100% Installing failed.'; echo "LastError: Installation error: Compatible mismatch: Expected 'x' but bundle manifest has 'y'"; exit 1
	fi
	echo "$version" >version.$other; rm -f good.$other; echo $other >primary
	rm busy
	echo '100% Installing done.' ;;
esac
`

const systemctlScript = `#!/bin/sh
PATH=/usr/sbin:/usr/bin:/sbin:/bin
cd @DIR@ || exit 9
[ "$1" = reboot ] || exit 9
echo reboot >>reboots
if [ -e refuse ]; then cat booted >primary; else cat primary >booted; fi
cat /proc/sys/kernel/random/uuid >boot_id
kill -TERM $PPID
`

func newMachineOf(t testing.TB, dir string) *machineOf {
	t.Helper()
	m := &machineOf{t: t, dir: dir}
	for name, text := range map[string]string{"booted": "A", "primary": "A", "version.A": "1", "version.B": "", "good.A": "", "boot_id": "00000000-0000-4000-8000-000000000001", "rauc": raucScript, "systemctl": systemctlScript} {
		m.put(name, strings.ReplaceAll(text, "@DIR@", dir))
	}
	return m
}

func (m *machineOf) put(name, text string) {
	m.t.Helper()
	err := os.MkdirAll(m.dir, 0o755)
	if err == nil {
		err = os.WriteFile(filepath.Join(m.dir, name), []byte(text), 0o755)
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *machineOf) remove(name string) {
	m.t.Helper()
	if err := os.Remove(filepath.Join(m.dir, name)); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machineOf) lines(name string) int {
	text, _ := os.ReadFile(filepath.Join(m.dir, name))
	return strings.Count(string(text), "\n")
}

// bundle makes a bundle of a version, and tells its path and its digest.
func (m *machineOf) bundle(version string) (path, digest string) {
	m.t.Helper()
	text := "signed version=" + version + "\n" + strings.Repeat("a system\n", 1000)
	m.put(version+".raucb", text)
	sum := sha256.Sum256([]byte(text))
	return filepath.Join(m.dir, version+".raucb"), "sha256:" + hex.EncodeToString(sum[:])
}

// dress has a program live on this machine: it finds its rauc and systemctl, and the name of
// its boot.
func (m *machineOf) dress(cmd *exec.Cmd) {
	const enter = `mount --bind "$BOOT_ID" /proc/sys/kernel/random/boot_id && PATH="$ITS_PATH" exec "$@"`
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		m.t.Error(err)
		return
	}
	cmd.Args = append([]string{"unshare", "--mount", "sh", "-c", enter, "sh", cmd.Path}, cmd.Args[1:]...)
	cmd.Path = unshare
	cmd.Env = append(cmd.Env, "BOOT_ID="+filepath.Join(m.dir, "boot_id"), "ITS_PATH="+m.dir)
}

// awaitSystem waits until the system stands as it should.
func (n *node) awaitSystem(what string, is func(edge.SystemReport) bool) {
	n.t.Helper()
	n.await("the system to be "+what, func(ctx context.Context) error {
		status, err := n.Client().Status(ctx)
		switch {
		case err != nil:
			return err
		case status.System == nil:
			return errors.New("nothing is said of it")
		case !is(*status.System):
			return fmt.Errorf("it is %+v", *status.System)
		}
		return nil
	})
}

// system has two people command another system. The clock of a node goes on by how long the
// machine is up with every boot, and these boots all begin at once: what is late enough for
// one is not for another.
func (f *fleet) system(node string, words ...string) said {
	f.t.Helper()
	return f.two(node, append([]string{"update-system", "--expires", "8000h"}, words...)...)
}

// ordered has the fleet command something while the test goes on.
func ordered(do func() said) (ended func() said) {
	done := make(chan said, 1)
	go func() { done <- do() }()
	return func() said { return <-done }
}

// TestSystemUpdate has RAUC replace the whole system in every way, with a real broker and
// launcher; rauc and systemctl are programs that stand in for them.
func TestSystemUpdate(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.attend()
	n, _ := f.join("gw-a", digitsService(1))
	n.awaitTold()
	n.stopAgent()
	n.Configure("link.reboot=allow")
	m := newMachineOf(t, filepath.Join(n.Folder(), "machine"))
	server := httptest.NewServer(http.FileServer(http.Dir(m.dir)))
	t.Cleanup(server.Close)
	k := n.keepAs(m.dress)
	t.Cleanup(func() { // before the node is left as it was
		k.letGo()
		os.Remove(filepath.Join(n.StateFolder(), "system.json"))
		n.startAgent()
	})
	before := n.awaitReady("digits", 1)
	runs := func(version string) func(edge.SystemReport) bool {
		return func(r edge.SystemReport) bool { return r.Version == version && !r.Trial && r.Phase == "" }
	}
	n.awaitSystem("version 1", runs("1"))

	t.Run("Refused", func(t *testing.T) {
		f, n := f.in(t), n.in(t)
		path, _ := m.bundle("2")
		m.put("junk.raucb", "nobody signed this")
		n.verb("update-system", filepath.Join(m.dir, "junk.raucb")).want(t, cli.ExitUsage, "signature verification failed: no signer certificate")
		n.verb("update-system", path, "3").want(t, cli.ExitUsage, "is of version 2, not 3")
		m.put("mismatch", "")
		f.system("gw-a", path).wantFailed(t, "invalid", "Compatible mismatch: Expected 'x' but bundle manifest has 'y'")
		m.remove("mismatch")
		f.command("gw-a", "update-system", path).want(t, cli.ExitUsage, "needs 2 signatures")
		f.system("gw-a", server.URL+"/2.raucb").want(t, cli.ExitUsage, "digest")
		if got := m.lines("reboots"); got != 0 {
			t.Errorf("the machine was started anew %d times", got)
		}
		n.awaitSystem("version 1", runs("1"))
	})
	t.Run("ByCommandWithTheAgentKilled", func(t *testing.T) {
		f, n := f.in(t), n.in(t)
		_, digest := m.bundle("2")
		installs := m.lines("installs")
		m.put("hold", "")
		ended := ordered(func() said {
			return f.system("gw-a", server.URL+"/2.raucb", "2", "--digest", digest, "--id", "system-2")
		})
		n.awaitSystem("being installed", func(r edge.SystemReport) bool { return r.Phase == edge.SystemInstalling && r.Done == 40 })
		k.kill()
		n.awaitSystem("unknown while rauc is busy", func(r edge.SystemReport) bool { return strings.Contains(r.Trouble, "busy") })
		m.remove("hold")
		n.awaitSystem("new", func(r edge.SystemReport) bool { return r.Trial && r.Version == "2" && r.Slot == "B" })
		if got := len(f.finalReplies("gw-a")["system-2"]); got != 0 {
			t.Errorf("before it was called good there are %d final replies", got)
		}
		m.put("good.B", "")
		ended().want(t, cli.ExitOK, "succeeded", "version: 2", "from: 1", "runs: true")
		n.wantOneReply(f, "system-2", edge.StageSucceeded)
		n.awaitSystem("version 2", runs("2"))
		n.verb("status").want(t, cli.ExitOK, "system  version 2  from B")
		n.wantSame(before)
		if got := m.lines("installs") - installs; got != 1 {
			t.Errorf("it was installed %d times", got)
		}
		if left, _ := filepath.Glob(filepath.Join(n.StateFolder(), "system-bundle-*")); left != nil {
			t.Errorf("left is %q", left)
		}
	})
	t.Run("TheFormerCameBack", func(t *testing.T) {
		f, n := f.in(t), n.in(t)
		path, _ := m.bundle("3")
		m.put("refuse", "")
		f.system("gw-a", path, "3", "--id", "system-3").wantFailed(t, "system_rejected", "the former system runs, version 2 in B")
		m.remove("refuse")
		n.wantOneReply(f, "system-3", edge.StageFailed)
		n.awaitWarning("system-fell-back", "version 3")
		n.verb("update-system", path).want(t, cli.ExitUsage, "did not stay")
	})
	t.Run("ByPolicy", func(t *testing.T) {
		n := n.in(t)
		path, digest := m.bundle("4")
		reboots := m.lines("reboots")
		n.apply(n.desk.sign(draft{version: 2, services: []string{digitsService(1)}, sections: []string{
			fmt.Sprintf(`agent: {system: {version: "4", bundle: %q, digest: %q}}`, path, digest),
		}})).want(t, cli.ExitOK)
		n.awaitSystem("new", func(r edge.SystemReport) bool { return r.Trial && r.Version == "4" })
		m.put("good.A", "")
		n.awaitSystem("version 4", runs("4"))
		n.wantSame(before)
		if got := m.lines("reboots") - reboots; got != 1 {
			t.Errorf("the machine was started anew %d times", got)
		}
	})
	t.Run("LaterByHand", func(t *testing.T) {
		n := n.in(t)
		path, _ := m.bundle("5")
		n.verb("update-system", path, "--restart", "later").want(t, cli.ExitOK, "version 5 is installed in B, and runs after the next start")
		n.awaitWarning("system-restart-needed", "version 5")
	})
	t.Run("NoRauc", func(t *testing.T) {
		n := n.in(t)
		path, _ := m.bundle("6")
		m.remove("rauc")
		said := n.verb("update-system", path)
		said.want(t, cli.ExitUsage, "rauc is not installed on this machine", "apt install rauc")
	})
}
