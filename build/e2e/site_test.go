package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/edge/cli"
)

// bootPartition is the folder that a laptop writes and a gateway reads.
type bootPartition struct {
	n   *node
	dir string
}

func (n *node) bootPartition() bootPartition {
	n.t.Helper()
	b := bootPartition{n, filepath.Join(n.Folder(), "boot")}
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		n.t.Fatal(err)
	}
	return b
}

func (b bootPartition) put(name, text string) {
	b.n.t.Helper()
	b.n.write(filepath.Join("boot", name), text)
}

// start is what the unit does before the agent is started.
func (b bootPartition) start() said {
	b.n.t.Helper()
	return run(b.n.t, "site", "apply", "--boot", b.dir, "--etc", b.n.Folder(), "--state", b.n.StateFolder(),
		"--network", filepath.Join(b.n.Folder(), "network"), "--time", filepath.Join(b.n.Folder(), "time"))
}

// console is what a person sees who stands before the gateway.
func (b bootPartition) console() string {
	b.n.t.Helper()
	text := b.n.verb("site", "console", "--boot", b.dir, "--etc", b.n.Folder(), "--state", b.n.StateFolder()).stdout
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) > 24 {
		b.n.t.Errorf("the console has %d lines", len(lines))
	}
	for _, line := range lines {
		if len(line) > 80 || strings.ContainsFunc(line, func(c rune) bool { return c < ' ' || c > '~' }) {
			b.n.t.Errorf("the console cannot show %q", line)
		}
	}
	return text
}

// TestSite_FirstBoot sets a gateway up as a person with a laptop does: a wrong file, then a
// right one with a token and a root document, by which the node reaches its fleet.
func TestSite_FirstBoot(t *testing.T) {
	const token = "one-time-4711"
	fleet, desk := newAuthority(t, "fleet"), newDesk(t, t.TempDir())
	fleet.valid("broker")
	users := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(users, []byte(hashed(t, "gw-1", token)), 0o600); err != nil {
		t.Fatal(err)
	}
	address := embed(t, "--tls-cert", fleet.path("broker.pem"), "--tls-key", fleet.path("broker.key"), "--users", users)
	n := placeNode(t)
	boot := n.bootPartition()

	boot.start().want(t, cli.ExitOK, "there is no site file")
	if said := boot.console(); !strings.Contains(said, "Nobody has set this gateway up yet") || !strings.Contains(said, "age1") {
		t.Errorf("the console says:\n%s", said)
	}

	text := fmt.Sprintf("\ufeffnode:\r\n  name: gw-1\r\n  site: %s\r\n  labels: {hall: east}\r\nbroker:\r\n  url: tls://%s\r\n  ca: fleet.pem\r\n  token: %s\r\nroot: root.json\r\n", siteName, address, token)
	boot.put("holdfast-site.yaml.txt", text)
	boot.put("root.json", string(desk.read(desk.root())))
	boot.start().want(t, cli.ExitOK, "is wrong and was not applied", `line 7: broker.ca: there is no file "fleet.pem" beside this one`)
	n.startAgent()
	if said := n.verb("status").stdout; !strings.Contains(said, "warning site-file-invalid") || !strings.Contains(said, "set up by nobody yet; a wrong holdfast-site.yaml.txt waits") {
		t.Errorf("status says:\n%s", said)
	}
	if said := boot.console(); !strings.Contains(said, "holdfast-site.yaml.txt is WRONG") || !strings.Contains(said, "line 7: broker.ca") {
		t.Errorf("the console says:\n%s", said)
	}
	n.stopAgent()

	boot.put("fleet.pem", string(desk.read(fleet.path("ca.pem"))))
	boot.start().want(t, cli.ExitOK, "applied holdfast-site.yaml.txt")
	n.startAgent()
	n.awaitLink()
	status := n.verb("status").stdout
	if !strings.HasPrefix(status, "gw-1 ") || !strings.Contains(status, "set up by holdfast-site.yaml.txt on ") || strings.Contains(status, "site-file-invalid") {
		t.Errorf("status says:\n%s", status)
	}
	if !n.policy().Governed {
		t.Error("the node does not heed its root document")
	}
	if said := boot.console(); !strings.Contains(said, "node gw-1") || !strings.Contains(said, "fleet        up for ") {
		t.Errorf("the console says:\n%s", said)
	}
	if left := grep(t, n.Folder(), token); len(left) != 1 || filepath.Base(left[0]) != "broker-password" {
		t.Errorf("the token lies in %q, want only the node's own file", left)
	}
	boot.start().want(t, cli.ExitOK, "there is no site file")
	n.stopAgent()
}

// grep lists the files below a folder in which a text stands.
func grep(t testing.TB, folder, text string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if strings.Contains(string(content), text) {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
