package site_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/edge/site"
)

// stage is a node's folders, and the hands on them.
type stage struct {
	testing.TB
	site.Folders
	check  func(string) []site.ConfigFault
	before func(change, path string) error
	memory func(folder string) bool
	clock  time.Time
	set    []time.Time
}

func newStage(t testing.TB) *stage {
	// Nothing really loses power here, and flushing a busy disk some thousand times takes a minute.
	dir, err := os.MkdirTemp("/dev/shm", "site-")
	if err != nil {
		dir = t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	at := func(name string) string {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, name)
	}
	return &stage{
		TB: t, clock: time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC),
		Folders: site.Folders{Boot: at("boot"), Etc: at("etc"), Network: filepath.Join(dir, "network"), Time: filepath.Join(dir, "time"), State: at("state")},
		check:   func(string) []site.ConfigFault { return nil },
	}
}

func (s *stage) applier() *site.Applier {
	return site.New(site.Options{
		Folders: s.Folders, Check: s.check, Before: s.before, InMemory: s.memory,
		Now:      func() time.Time { return s.clock },
		SetClock: func(to time.Time) error { s.set = append(s.set, to); s.clock = to; return nil },
	})
}

func (s *stage) apply() site.Outcome {
	s.Helper()
	outcome, err := s.applier().Apply()
	if err != nil {
		s.Fatal(err)
	}
	return outcome
}

func (s *stage) write(path, text string) {
	s.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		s.Fatal(err)
	}
}

func (s *stage) put(name, text string) { s.Helper(); s.write(filepath.Join(s.Boot, name), text) }

func (s *stage) read(path string) string {
	s.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		s.Fatal(err)
	}
	return string(text)
}

// node is everything that a file makes, by path.
func (s *stage) node() map[string]string {
	found := map[string]string{}
	for _, folder := range []string{s.Etc, s.Network, s.Time} {
		err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.Type().IsRegular() {
				info, _ := entry.Info()
				found[path] = fmt.Sprintf("%04o %s", info.Mode().Perm(), s.read(path))
			}
			return nil
		})
		if err != nil {
			s.Fatal(err)
		}
	}
	return found
}

// plans are the files in which secrets stand on their way, in base64.
func (s *stage) plans() []string {
	found, err := filepath.Glob(filepath.Join(s.State, "site", "*plan*"))
	if err != nil {
		s.Fatal(err)
	}
	return found
}

// holds looks for a text in every file below a folder.
func holds(t testing.TB, folder, text string) (where []string) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if strings.Contains(string(content), text) {
			where = append(where, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return where
}

// pair makes a certificate that vouches for itself, and its key.
func pair(t testing.TB) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "line-3-gw"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs}))
}

const secretWord = "correct-horse"

const simple = `node: {name: line-3-gw}
broker: {url: "tls://broker.example:8883", token: ` + secretWord + `, ca: CA.PEM, certificate: gw.pem, key: gw.key}
network: {match: eth0, dhcp: true}
time: {servers: [ntp.example]}
`

// simple has three files beside it.
func (s *stage) putSimple() (key string) {
	certificate, key := pair(s)
	s.put("ca.pem", certificate) // FAT keeps no capitals
	s.put("gw.pem", strings.ReplaceAll(certificate, "\n", "\r\n"))
	s.put("gw.key", key)
	s.put(site.Name, simple)
	return key
}

func TestApplier_Apply(t *testing.T) {
	s := newStage(t)
	key := s.putSimple()
	outcome := s.apply()
	if !outcome.Done || outcome.Refused != nil || len(outcome.Notes) > 0 {
		t.Fatalf("got %+v, want it applied", outcome)
	}
	own := filepath.Join(s.Etc, "site")
	want := "# Written from holdfast-site.yaml (holdfast site apply); the next site file replaces it.\n" +
		"node:\n  name: \"line-3-gw\"\nlink:\n  broker: \"tls://broker.example:8883\"\n  user: \"line-3-gw\"\n" +
		"  passwordFile: \"" + own + "/broker-password\"\n  ca: \"" + own + "/broker-ca.pem\"\n" +
		"  certificate: \"" + own + "/broker-certificate.pem\"\n  key: \"" + own + "/broker-key.pem\"\n"
	if got := s.read(filepath.Join(s.Etc, "conf.d", "50-site.yaml")); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	for name, want := range map[string]fs.FileMode{"broker-password": 0o600, "broker-key.pem": 0o600, "broker-ca.pem": 0o644} {
		if info, err := os.Stat(filepath.Join(own, name)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: got %v and %v, want mode %o", name, info, err, want)
		}
	}
	if got := s.read(filepath.Join(s.Time, "50-holdfast-site.conf")); got != "[Time]\nNTP=ntp.example\n" {
		t.Errorf("got %q", got)
	}
	t.Run("SecretsAreGone", func(t *testing.T) {
		middle := strings.Split(key, "\n")[1]
		if left := append(holds(t, s.Boot, secretWord), holds(t, s.Boot, middle)...); len(left) > 0 || len(s.plans()) > 0 {
			t.Errorf("secrets are left in %v and %v", left, s.plans())
		}
		if len(holds(t, s.Etc, secretWord)) != 1 || len(holds(t, s.Etc, middle)) != 1 {
			t.Error("the node itself does not have them: nothing was looked for")
		}
		if _, err := os.Stat(filepath.Join(s.Boot, "gw.key")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v, want the key to be gone", err)
		}
		if note := s.read(filepath.Join(s.Boot, site.Name)); !strings.Contains(note, "applied on 2026-11-22 08:00 UTC: node line-3-gw") {
			t.Errorf("got note %q", note)
		}
	})
	t.Run("Once", func(t *testing.T) {
		before := s.node()
		s.before = func(change, path string) error { t.Errorf("%s %s: want nothing to be done", change, path); return nil }
		if outcome := s.apply(); outcome.Done || outcome.Applied == nil {
			t.Errorf("got %+v, want nothing done, and what was before", outcome)
		}
		if after := s.node(); !sameMap(before, after) {
			t.Errorf("got %v, want %v", after, before)
		}
		s.before = nil
	})
	t.Run("ANewOneReplacesIt", func(t *testing.T) {
		s.put("holdfast-site.yaml.txt", "node: {name: other}\n")
		if outcome := s.apply(); !outcome.Done || outcome.Applied.File != "holdfast-site.yaml.txt" {
			t.Fatalf("got %+v", outcome)
		}
		if node := s.node(); len(node) != 1 || !strings.Contains(node[filepath.Join(s.Etc, "conf.d", "50-site.yaml")], `"other"`) {
			t.Errorf("got %v, want only what the new file says", node)
		}
	})
}

func sameMap(a, b map[string]string) bool {
	same := len(a) == len(b)
	for path, text := range a {
		same = same && b[path] == text
	}
	return same
}

func TestApplier_ApplyWrong(t *testing.T) {
	s := newStage(t)
	s.put(site.Name, "node: {name: first}\n")
	s.apply()
	before := s.node()
	s.put(site.Name, "node: {name: second}\nbroker: {url: \"tls://b:1\", token: "+secretWord+", ca: none.pem}\n")
	for range 2 { // at every boot the same
		outcome := s.apply()
		if outcome.Done || outcome.Refused == nil || outcome.Applied == nil {
			t.Fatalf("got %+v, want a refusal beside what was applied", outcome)
		}
		if !sameMap(before, s.node()) {
			t.Errorf("got %v, want what was there before", s.node())
		}
		page := s.read(filepath.Join(s.Boot, site.ErrorsName))
		if !strings.Contains(page, `line 2: broker.ca: there is no file "none.pem"`) || strings.Contains(page, secretWord) {
			t.Errorf("got page %q", page)
		}
		s.clock = s.clock.Add(time.Hour)
		s.before = func(change, path string) error { t.Errorf("%s %s: want it written once", change, path); return nil }
	}
	s.before = nil
	if strings.Contains(s.read(filepath.Join(s.State, "site", "report.json")), secretWord) {
		t.Error("the report has the secret")
	}
	t.Run("Corrected", func(t *testing.T) {
		s.put(site.Name, "node: {name: second}\n")
		if outcome := s.apply(); !outcome.Done || outcome.Refused != nil {
			t.Errorf("got %+v", outcome)
		}
		if _, err := os.Stat(filepath.Join(s.Boot, site.ErrorsName)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v, want the errors to be gone", err)
		}
	})
	t.Run("TakenAway", func(t *testing.T) {
		s.put(site.Name, "nope\n")
		s.apply()
		if err := os.Remove(filepath.Join(s.Boot, site.Name)); err != nil {
			t.Fatal(err)
		}
		if outcome := s.apply(); outcome.Refused != nil {
			t.Errorf("got %+v, want it forgotten", outcome)
		}
	})
	t.Run("Two", func(t *testing.T) {
		s.put(site.Name, "node: {name: a}\n")
		s.put("HOLDFAST-SITE.YAML.TXT", "node: {name: b}\n")
		if outcome := s.apply(); outcome.Refused == nil || !strings.Contains(outcome.Refused.Faults[0].Detail, "both ask") {
			t.Errorf("got %+v", outcome)
		}
	})
}

func TestApplier_ChecksConfiguration(t *testing.T) {
	s := newStage(t)
	s.write(filepath.Join(s.Etc, "config.yaml"), "log: {level: warn}\n")
	var staged string
	s.check = func(config string) []site.ConfigFault {
		staged = s.read(config) + s.read(filepath.Join(filepath.Dir(config), "conf.d", "50-site.yaml"))
		return []site.ConfigFault{
			{Where: filepath.Join(filepath.Dir(config), "conf.d", "50-site.yaml") + ":3", Key: "link.broker", Detail: "is odd", Remedy: "mend it"},
			{Where: config + ":1", Key: "log.level", Detail: "is odd too"},
		}
	}
	s.put(site.Name, "node: {name: x}\nbroker:\n  url: http://b\n")
	outcome := s.apply()
	if !strings.Contains(staged, "level: warn") || !strings.Contains(staged, "http://b") {
		t.Errorf("checked was %q, want both", staged)
	}
	if outcome.Refused == nil || outcome.Refused.Faults[0] != (site.Fault{Line: 3, Key: "broker.url", Detail: "is odd", Remedy: "mend it"}) ||
		outcome.Refused.Faults[1].Detail != "with this file the node's configuration would be wrong at config.yaml:1: is odd too" {
		t.Errorf("got %+v", outcome.Refused)
	}
	if len(s.node()) != 1 {
		t.Errorf("got %v, want only the configuration that was there", s.node())
	}
	if left, _ := filepath.Glob(filepath.Join(s.State, "site", "check-*")); left != nil {
		t.Errorf("left: %v", left)
	}
}

func TestApplier_Clock(t *testing.T) {
	for name, c := range map[string]struct {
		now string
		set bool
	}{"FarBehind": {"2026-11-22 10:00", true}, "Near": {"2026-11-22 08:30", false}, "Ahead": {"2026-11-01", false}} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			s.put(site.Name, "time: {now: "+c.now+"}\n")
			s.apply()
			if got := len(s.set) == 1; got != c.set {
				t.Errorf("the clock was set: %v, want %v", s.set, c.set)
			}
		})
	}
}

// errCut ends a run as a power cut would.
var errCut = errors.New("the power is cut")

// TestApplier_PowerCut cuts the power before every single change, and starts again.
func TestApplier_PowerCut(t *testing.T) {
	old := "node: {name: first, site: old}\nbroker: {url: \"tcp://b:1\", user: u, password: p}\nnetwork: {match: eth9, dhcp: true}\n"
	for cut := 1; ; cut++ {
		s := newStage(t)
		s.put(site.Name, old)
		s.apply()
		before := s.node()
		key := s.putSimple()
		var changes []string
		s.before = func(change, path string) error {
			if changes = append(changes, change+" "+filepath.Base(path)); len(changes) == cut {
				return errCut
			}
			return nil
		}
		_, err := s.applier().Apply()
		s.before = nil
		if err == nil {
			if cut < 20 {
				t.Fatalf("only %d changes were seen: %q", cut, changes)
			}
			t.Logf("%d places to cut the power at", cut-1)
			return
		}
		if !errors.Is(err, errCut) {
			t.Fatal(err)
		}
		begun := slices.Contains(changes[:len(changes)-1], "rename plan.json")
		if !begun && !sameMap(before, s.node()) {
			t.Errorf("cut before %q: got %v, want the old state", changes[len(changes)-1], s.node())
		}
		s.apply()
		if left := append(holds(t, s.Boot, secretWord), holds(t, s.Boot, strings.Split(key, "\n")[1])...); len(left) > 0 {
			t.Errorf("cut before %q: secrets are left in %v", changes[len(changes)-1], left)
		}
		if left := s.plans(); len(left) > 0 {
			t.Errorf("cut before %q: secrets are left in %v", changes[len(changes)-1], left)
		}
		if report, err := site.ReadReport(s.State); err != nil || report.Refused != nil || len(s.node()) != 7 {
			t.Errorf("cut before %q: got %d files, %+v and %v, want the new state", changes[len(changes)-1], len(s.node()), report, err)
		}
		for path, text := range s.node() {
			if strings.HasSuffix(path, ".new") || strings.Contains(text, "eth9") {
				t.Errorf("cut before %q: %s is left", changes[len(changes)-1], path)
			}
		}
		s.before = func(change, path string) error { t.Errorf("%s %s: want nothing left to do", change, path); return nil }
		s.apply()
	}
}

// TestApplier_HalfOverwritten goes on with a file of which a power cut left half.
func TestApplier_HalfOverwritten(t *testing.T) {
	s := newStage(t)
	s.putSimple()
	s.before = func(change, _ string) error {
		if change == "scrub" {
			return errCut
		}
		return nil
	}
	if _, err := s.applier().Apply(); !errors.Is(err, errCut) {
		t.Fatal(err)
	}
	s.before = nil
	half := []byte(simple)
	clear(half[:len(half)/2])
	s.put(site.Name, string(half))
	if outcome := s.apply(); outcome.Refused != nil || !outcome.Done {
		t.Errorf("got %+v", outcome)
	}
	if note := s.read(filepath.Join(s.Boot, site.Name)); !strings.HasPrefix(note, "# This file was applied") || strings.ContainsRune(note, 0) {
		t.Errorf("got %q, want the note", note)
	}
	t.Run("ButANewFileIsNotTouched", func(t *testing.T) {
		s := newStage(t)
		s.putSimple()
		s.before = func(change, _ string) error {
			if change == "scrub" {
				return errCut
			}
			return nil
		}
		if _, err := s.applier().Apply(); !errors.Is(err, errCut) {
			t.Fatal(err)
		}
		s.before = nil
		s.put(site.Name, "node: {name: newer}\n")
		if outcome := s.apply(); outcome.Applied == nil || len(outcome.Applied.Files) != 1 {
			t.Errorf("got %+v, want the new file applied after the old", outcome)
		}
	})
}

// TestApplier_TakenAwayBeforeItBegan wants nothing to stay of a file that was taken away
// after the power was cut before it was begun.
func TestApplier_TakenAwayBeforeItBegan(t *testing.T) {
	s := newStage(t)
	s.putSimple()
	s.before = func(change, path string) error {
		if change == "rename" && filepath.Base(path) == "plan.json" {
			return errCut
		}
		return nil
	}
	if _, err := s.applier().Apply(); !errors.Is(err, errCut) || len(s.plans()) != 1 {
		t.Fatalf("got %v, want the plan written and without its name", err)
	}
	s.before = nil
	if err := os.Remove(filepath.Join(s.Boot, site.Name)); err != nil {
		t.Fatal(err)
	}
	if outcome := s.apply(); outcome.Done || len(s.plans()) > 0 || len(s.node()) > 0 {
		t.Errorf("got %+v and %v, want nothing", outcome, s.node())
	}
}

// TestApplier_BootReadOnly applies a file whose secrets cannot be removed, and removes them
// as soon as they can.
func TestApplier_BootReadOnly(t *testing.T) {
	s := newStage(t)
	s.putSimple()
	s.before = func(change, path string) error {
		if filepath.Dir(path) == s.Boot {
			return &fs.PathError{Op: change, Path: path, Err: syscall.EROFS}
		}
		return nil
	}
	for range 2 {
		outcome := s.apply()
		if !outcome.Done || !slices.Equal(outcome.Left, []string{site.Name, "gw.key"}) || len(outcome.Notes) != 2 || len(s.node()) != 7 {
			t.Errorf("got %+v and %d files, want it applied, and what is left named", outcome, len(s.node()))
		}
	}
	s.before = nil
	s.apply()
	if outcome := s.apply(); outcome.Done || len(outcome.Left) > 0 || len(holds(t, s.Boot, secretWord)) > 0 {
		t.Errorf("got %+v, want nothing left", outcome)
	}
}

// TestApplier_DropsWhatWasCutOff wants nothing to stay of a start that was cut off.
func TestApplier_DropsWhatWasCutOff(t *testing.T) {
	s := newStage(t)
	own := filepath.Join(s.State, "site")
	if err := os.MkdirAll(filepath.Join(own, "check-123", "conf.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"check-123/config.yaml", ".plan.json.new", ".report.json.new", "model.oci.tar.new"} {
		s.write(filepath.Join(own, name), "half")
	}
	s.apply()
	if left, err := os.ReadDir(own); err != nil || len(left) > 0 {
		t.Errorf("got %v and %v, want nothing left", left, err)
	}
}
