package e2e_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"holdfast/edge"
	"holdfast/edge/cli"
)

// desk is where a fleet's keys lie. Policies are written, built and signed there by
// the verbs a person would use.
type desk struct {
	t      testing.TB
	dir    string // as `holdfast policy init` leaves it
	images string // a folder with the archives, which the builds ask for digests
	signer string // the key that signs policies
	trusts string // the root document it does so by
}

// newDesk makes the keys of a fleet below a folder.
func newDesk(t testing.TB, dir string) *desk {
	t.Helper()
	d := &desk{t: t, dir: filepath.Join(dir, "desk"), images: filepath.Join(dir, "images"), signer: "policy-1"}
	d.trusts = d.root()
	run(t, "policy", "init", d.dir).want(t, cli.ExitOK)
	if err := os.MkdirAll(d.images, 0o755); err != nil {
		t.Fatal(err)
	}
	d.stock(shop.digits())
	d.stock(shop.faulty())
	return d
}

// stock puts an archive where the builds find it.
func (d *desk) stock(archive string) {
	d.t.Helper()
	if err := os.Link(archive, filepath.Join(d.images, filepath.Base(archive))); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) path(name string) string { return filepath.Join(d.dir, name) }
func (d *desk) root() string            { return d.path("root.json") }
func (d *desk) key(name string) string  { return d.path("keys/" + name + ".key") }

func (d *desk) write(name, text string) string {
	d.t.Helper()
	if err := os.WriteFile(d.path(name), []byte(text), 0o644); err != nil {
		d.t.Fatal(err)
	}
	return d.path(name)
}

// draft is a policy as a person writes it. Its zero value but for the version runs
// nothing.
type draft struct {
	version  uint64
	audience string   // empty: the group of the nodes here
	lease    string   // empty: a long one
	sections []string // whole lines
	services []string // of the project line
}

// lastVersion is above those of all tests.
const lastVersion = 1_000_000

func (p draft) yaml() string {
	text := fmt.Sprintf("apiVersion: holdfast/v1\nkind: Policy\nmetadata: {name: first, version: %d, audience: {%s}}\nlease: {%s}\n",
		p.version, cmp.Or(p.audience, "group: first"), cmp.Or(p.lease, "hours: 720, boots: 200"))
	for _, line := range p.sections {
		text += line + "\n"
	}
	if len(p.services) == 0 {
		return text
	}
	text += "apps:\n  line:\n    services:\n"
	for line := range strings.Lines(strings.Join(p.services, "")) {
		text += "    " + line
	}
	return text
}

// build writes a policy down and makes of it what is to be signed.
func (d *desk) build(p draft) string {
	d.t.Helper()
	source := d.write(fmt.Sprintf("v%d.yaml", p.version), p.yaml())
	out := d.path(fmt.Sprintf("v%d.json", p.version))
	run(d.t, "policy", "build", source, "--images", d.images, "--out", out).want(d.t, cli.ExitOK)
	return out
}

// sign builds a policy and signs it with the key of its role.
func (d *desk) sign(p draft) string {
	d.t.Helper()
	return d.signAs(d.build(p), d.signer, "--root", d.trusts)
}

// signAs signs a document with a key of the desk.
func (d *desk) signAs(document, key string, flags ...string) string {
	d.t.Helper()
	out := strings.TrimSuffix(document, ".json") + ".signed.json"
	arguments := []string{"policy", "sign", document, "--key", d.key(key), "--out", out}
	run(d.t, append(arguments, flags...)...).want(d.t, cli.ExitOK)
	return out
}

// read is a file of the desk.
func (d *desk) read(path string) []byte {
	d.t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		d.t.Fatal(err)
	}
	return text
}

// said is what a verb left.
type said struct {
	verb           string
	code           int
	stdout, stderr string
}

// run runs a verb to its end.
func run(t testing.TB, arguments ...string) said {
	t.Helper()
	return runProgram(t, shop.binary(), arguments...)
}

func runProgram(t testing.TB, program string, arguments ...string) said {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, arguments...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return said{strings.Join(arguments, " "), cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// want wants an exit code, and words in what was printed; refusals go to standard
// error.
func (s said) want(t testing.TB, code int, words ...string) {
	t.Helper()
	if s.code != code {
		t.Fatalf("holdfast %s: exit code %d, want %d:\n%s%s", s.verb, s.code, code, s.stdout, s.stderr)
	}
	text := s.stdout
	if code != cli.ExitOK {
		text = s.stderr
	}
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("holdfast %s says\n%swant %q", s.verb, text, word)
		}
	}
}

// verb runs a verb against the node's agent.
func (n *node) verb(arguments ...string) said {
	n.t.Helper()
	return run(n.t, append([]string{"--address", n.Socket()}, arguments...)...)
}

// apply brings the node a signed document and waits until it is carried out.
func (n *node) apply(path string) said {
	n.t.Helper()
	return n.verb("policy", "apply", path)
}

// govern has the node believe a fleet of its own from the next start of the agent,
// with a policy flashed as factory's where one is named.
func (n *node) govern(factory string) *desk {
	n.t.Helper()
	n.desk = newDesk(n.t, n.Folder())
	n.flash(factory)
	return n.desk
}

func (n *node) flash(factory string) {
	n.t.Helper()
	n.configure("", "node: {name: gw-1, groups: [first]}",
		fmt.Sprintf("policy: {root: %q, factory: %q}", n.desk.root(), cmp.Or(factory, n.desk.path("none.json"))))
}

// governed makes a node on which a first policy runs the services.
func governed(t testing.TB, services ...string) *node {
	t.Helper()
	n := newNode(t)
	n.begin(services...)
	return n
}

// begin governs a node by a first policy that runs the services.
func (n *node) begin(services ...string) {
	n.t.Helper()
	n.stopAgent()
	n.govern("")
	n.startAgent()
	n.apply(n.desk.sign(draft{version: 1, services: services})).want(n.t, cli.ExitOK)
}

// kept are the files of the policy cache and the link, which stay as long as the node
// does.
var kept = [...]string{
	"state.db", "state.db.damaged", "state.lock", "policy.A", "policy.B", "root.kept",
	"link.db", "link.db.damaged", "link.lock", "adjusted.json",
	"node.key", "secret-versions.key",
}

// ungoverned is a footprint without them.
func (n *node) ungoverned(f footprint) footprint {
	spool := "state folder " + filepath.Join(n.StateFolder(), "spool")
	return slices.DeleteFunc(f, func(thing string) bool {
		return strings.HasPrefix(thing, spool) || slices.ContainsFunc(kept[:], func(name string) bool {
			return thing == "state folder "+filepath.Join(n.StateFolder(), name)
		})
	})
}

// policy is what governs the node.
func (n *node) policy() edge.PolicyReport {
	n.t.Helper()
	status, err := n.Client().Status(context.Background())
	if err != nil {
		n.t.Fatal(err)
	}
	return status.Policy
}

// wantPolicy wants a version to be in force, in the state.
func (n *node) wantPolicy(version uint64, state string) {
	n.t.Helper()
	if in := n.policy(); in.Version != version || in.State != state {
		n.t.Errorf("policy version %d (%s) is in force, want version %d (%s)", in.Version, in.State, version, state)
	}
}

// wantSame wants the very instances of before, and to be served.
func (n *node) wantSame(before []edge.InstanceView) {
	n.t.Helper()
	if err := sameInstances(before, n.awaitReady("digits", len(before))); err != nil {
		n.t.Error(err)
	}
	n.ask(patient)
}

// awaitSpec returns the only instance of a workload once it is ready and as the
// workload in force says.
func (n *node) awaitSpec(name string) edge.InstanceView {
	n.t.Helper()
	var found edge.InstanceView
	n.await("one ready instance of "+name+" as it should be", func(ctx context.Context) error {
		view, err := n.workload(ctx, name)
		if err != nil {
			return err
		}
		if view.Ready != 1 || len(view.Instances) != 1 || view.Instances[0].SpecHash != view.Workload.SpecHash() {
			return fmt.Errorf("it has %+v", view.Instances)
		}
		found = view.Instances[0]
		return nil
	})
	return found
}
