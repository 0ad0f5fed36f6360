package main

import (
	"bytes"
	"crypto/md5" //nolint:gosec // Debian's own sums of files are of this kind
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/build/packages/sbom"
	"holdfast/edge/config"
)

const epoch = 1767323045 // 2026-01-02T03:04:05Z

// program builds a small program in the place of the agent's: what is looked at here is
// what stands around it.
func program(t *testing.T, goarch string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "program-"+goarch)
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid=", "-o", file, "../sample/tool")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+goarch, "GOARM=7")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return file
}

// make packs with these arguments.
func makePackages(t *testing.T, version, out string, arches ...string) {
	t.Helper()
	args := append([]string{"-root", "../..", "-nfpm", "../../.tools/bin/nfpm", "-version", version, "-epoch", fmt.Sprint(epoch), "-out", out}, arches...)
	if err := run(t.Context(), args, io.Discard); err != nil {
		t.Fatal(err)
	}
}

func TestPackages(t *testing.T) {
	arches := []string{"amd64=" + program(t, "amd64"), "arm64=" + program(t, "arm64"), "armv7=" + program(t, "arm")}
	out := t.TempDir()
	makePackages(t, "v1.2.3", out, arches...)
	t.Run("Names", func(t *testing.T) { wantNames(t, out) })
	t.Run("Sums", func(t *testing.T) { wantSums(t, out) })
	t.Run("Deb", func(t *testing.T) {
		for arch, debian := range map[string]string{"amd64": "amd64", "arm64": "arm64", "arm": "armhf"} {
			wantDeb(t, openDeb(t, filepath.Join(out, "holdfast_1.2.3_"+debian+".deb")), debian, arch)
		}
	})
	t.Run("Apk", func(t *testing.T) {
		for _, alpine := range []string{"x86_64", "aarch64", "armv7"} {
			wantApk(t, openApk(t, filepath.Join(out, "holdfast_1.2.3-r0_"+alpine+".apk")), alpine)
		}
	})
	t.Run("RPM", func(t *testing.T) {
		for _, arch := range []string{"x86_64", "aarch64", "armv7hl"} {
			lead := openRPM(t, filepath.Join(out, "holdfast-1.2.3-1."+arch+".rpm"))
			if !bytes.HasPrefix(lead, []byte{0xed, 0xab, 0xee, 0xdb, 3}) || !bytes.Contains(lead, []byte("holdfast-1.2.3-1\x00")) {
				t.Errorf("%s: got lead %q", arch, lead[:64])
			}
		}
	})
	t.Run("SameAgain", func(t *testing.T) { wantSame(t, arches[0]) })
}

// wantNames wants a package of each kind for each architecture, and what is beside them.
func wantNames(t *testing.T, out string) {
	t.Helper()
	want := []string{
		"SHA256SUMS",
		"holdfast-1.2.3-1.aarch64.rpm", "holdfast-1.2.3-1.armv7hl.rpm", "holdfast-1.2.3-1.x86_64.rpm",
		"holdfast_1.2.3-r0_aarch64.apk", "holdfast_1.2.3-r0_armv7.apk", "holdfast_1.2.3-r0_x86_64.apk",
		"holdfast_1.2.3_amd64.cdx.json", "holdfast_1.2.3_amd64.deb", "holdfast_1.2.3_arm64.cdx.json", "holdfast_1.2.3_arm64.deb",
		"holdfast_1.2.3_armhf.deb", "holdfast_1.2.3_armv7.cdx.json",
	}
	if got := listed(t, out); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func listed(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// wantSums has sha256sum check them, and find a file that was changed.
func wantSums(t *testing.T, out string) {
	t.Helper()
	check := func() error {
		cmd := exec.CommandContext(t.Context(), "sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS")
		cmd.Dir = out
		return cmd.Run()
	}
	if err := check(); err != nil {
		t.Errorf("the sums are not right: %v", err)
	}
	name := filepath.Join(out, "holdfast_1.2.3_amd64.cdx.json")
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, append(content, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
	if check() == nil {
		t.Error("a changed file has the same sum: this check cannot fail")
	}
	if err := os.WriteFile(name, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// everywhere is what every package holds.
var everywhere = [...]string{
	"/usr/bin/holdfast", "/etc/holdfast/config.yaml", "/etc/holdfast/conf.d", "/usr/share/holdfast/networks.conf",
	"/usr/share/doc/holdfast/sbom.cdx.json", "/usr/share/doc/holdfast/third-party.txt.gz", "/usr/share/doc/holdfast/changelog.gz",
	"/usr/share/doc/holdfast/holdfast.rules.yaml", "/usr/share/doc/holdfast/holdfast.json",
	"/usr/share/bash-completion/completions/holdfast", "/usr/share/fish/vendor_completions.d/holdfast.fish",
	"/usr/share/man/man8/holdfast.8.gz", "/usr/share/man/man8/holdfast-policy.8.gz",
}

func (p opened) want(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range slices.Concat(everywhere[:], names) {
		if _, there := p.files[name]; !there {
			t.Errorf("%s is not in it", name)
		}
	}
	if wrong := p.wrongModes(); wrong != nil {
		t.Errorf("these modes or owners are not right: %q", wrong)
	}
	for name, e := range p.files {
		if !e.header.ModTime.Equal(time.Unix(epoch, 0)) {
			t.Errorf("%s is of %v, want that of the version", name, e.header.ModTime)
		}
	}
	p.wantDescribed(t)
}

// wantDescribed wants the document of the very program that is in the package.
func (p opened) wantDescribed(t *testing.T) {
	t.Helper()
	var doc sbom.Document
	if err := json.Unmarshal(p.files["/usr/share/doc/holdfast/sbom.cdx.json"].content, &doc); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(p.files["/usr/bin/holdfast"].content)
	if got := doc.Metadata.Component.Hashes; len(got) != 1 || got[0].Content != hex.EncodeToString(sum[:]) {
		t.Errorf("the document is of a program with the sum %v, want %x", got, sum)
	}
}

func wantDeb(t *testing.T, p opened, arch, goarch string) {
	t.Helper()
	p.want(t, "/usr/lib/systemd/system/holdfast.service", "/usr/share/doc/holdfast/copyright",
		"/usr/share/doc/holdfast/changelog.Debian.gz", "/usr/share/zsh/vendor-completions/_holdfast")
	control := fields(p.control["control"], ": ")
	for name, want := range map[string]string{"Package": "holdfast", "Version": "1.2.3", "Architecture": arch, "Maintainer": maintainer} {
		if control[name] != want {
			t.Errorf("%s: got %q, want %q", name, control[name], want)
		}
	}
	if !strings.Contains(control["Recommends"], "containerd (>= 1.6)") || control["Depends"] != "" {
		t.Errorf("got recommended %q and needed %q, want containerd recommended and nothing needed", control["Recommends"], control["Depends"])
	}
	if got := p.control["conffiles"]; got != "/etc/holdfast/config.yaml\n" {
		t.Errorf("got %q as configuration, want the one file", got)
	}
	for line := range strings.Lines(p.control["md5sums"]) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		if got := md5.Sum(p.files[path.Join("/", name)].content); hex.EncodeToString(got[:]) != sum { //nolint:gosec // as above
			t.Errorf("the sum of %s is not right", name)
		}
	}
	content, err := os.ReadFile(program(t, goarch))
	if err != nil || !bytes.Equal(content, p.files["/usr/bin/holdfast"].content) {
		t.Errorf("%s: the program is not that of its architecture: %v", arch, err)
	}
}

func wantApk(t *testing.T, p opened, arch string) {
	t.Helper()
	p.want(t, "/etc/init.d/holdfast", "/etc/conf.d/holdfast", "/etc/logrotate.d/holdfast", "/usr/share/licenses/holdfast/LICENSE")
	about := fields(p.control[".PKGINFO"], " = ")
	for name, want := range map[string]string{"pkgname": "holdfast", "pkgver": "1.2.3-r0", "arch": arch, "license": license} {
		if about[name] != want {
			t.Errorf("%s: got %q, want %q", name, about[name], want)
		}
	}
	// Each line is a field: what goes on over the next line is an error to some readers.
	for line := range strings.Lines(p.control[".PKGINFO"]) {
		if !strings.Contains(line, " = ") && strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "#") {
			t.Errorf("%q is no field", line)
		}
	}
	if len(about["datahash"]) != 64 {
		t.Errorf("got %q as the sum of its files", about["datahash"])
	}
	for _, name := range []string{".pre-deinstall", ".post-upgrade"} {
		if !strings.HasPrefix(p.control[name], "#!/bin/sh\n") {
			t.Errorf("%s: got %.20q, want a script", name, p.control[name])
		}
	}
}

// wantSame packs twice, and as another version, which has to differ.
func wantSame(t *testing.T, arch string) {
	t.Helper()
	once, again, other := t.TempDir(), t.TempDir(), t.TempDir()
	makePackages(t, "v1.2.3", once, arch)
	makePackages(t, "v1.2.3", again, arch)
	if got := different(t, once, again); got != nil {
		t.Errorf("made again these are others: %q", got)
	}
	makePackages(t, "v1.2.4", other, arch)
	if got := different(t, once, other); len(got) != len(listed(t, once)) {
		t.Errorf("of another version only these are others: %q", got)
	}
}

// different are the files of one folder that are not in the other, byte for byte.
func different(t *testing.T, a, b string) (names []string) {
	t.Helper()
	for _, name := range listed(t, a) {
		one, err := os.ReadFile(filepath.Join(a, name))
		if err != nil {
			t.Fatal(err)
		}
		if two, err := os.ReadFile(filepath.Join(b, name)); err != nil || !bytes.Equal(one, two) {
			names = append(names, name)
		}
	}
	return names
}

// TestScripts: the shells that will read them understand them.
func TestScripts(t *testing.T) {
	entries, err := files.ReadDir("files")
	if err != nil {
		t.Fatal(err)
	}
	understood := func(text string) error {
		cmd := exec.CommandContext(t.Context(), "sh", "-n")
		cmd.Stdin = strings.NewReader(text)
		return cmd.Run()
	}
	read := 0
	for _, e := range entries {
		kind, _, _ := strings.Cut(e.Name(), ".")
		if !slices.Contains([]string{"deb", "rpm", "apk", "holdfast"}, kind) {
			continue
		}
		text, err := files.ReadFile("files/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		read++
		if err := understood(string(text)); err != nil {
			t.Errorf("%s: %v", e.Name(), err)
		}
	}
	if read != 11 {
		t.Errorf("read %d scripts, want 11", read)
	}
	if understood("if true; then\n") == nil {
		t.Error("half a script is understood: this check cannot fail")
	}
}

// TestSampleConfig: it sets nothing, names every key once, and each is right as it stands
// once it is set.
func TestSampleConfig(t *testing.T) {
	text := sampleConfig(config.Keys())
	load := func(text string) *config.Loaded {
		t.Helper()
		path := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		loaded, err := config.Load(config.Options{Path: path})
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		return loaded
	}
	nothing, set := load(text), load(uncommented(text))
	if live, restart := config.Diff(nothing.Config, set.Config); live != nil || restart != nil {
		t.Errorf("set as they stand these keys differ from their defaults: %q %q", live, restart)
	}
	origins := map[string]string{}
	for _, v := range set.Origins() {
		origins[v.Key] = v.Origin
	}
	for _, v := range nothing.Origins() {
		if v.Origin != "default" && !strings.HasPrefix(v.Origin, "default") {
			t.Errorf("%s is set by %s in a file that sets nothing", v.Key, v.Origin)
		}
	}
	for _, k := range config.Keys() {
		if k.Default != "" && !strings.Contains(origins[k.Key], "config.yaml:") {
			t.Errorf("%s comes from %s, want it from the file", k.Key, origins[k.Key])
		}
	}
}

// uncommented takes the first # away from every key that has a value, and from those above.
func uncommented(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		key, found := strings.CutPrefix(line, "#")
		body := strings.TrimSpace(key)
		name, value, isKey := strings.Cut(body, ":")
		empty := isKey && value == "" && leaf(name)
		if found && isKey && !strings.HasPrefix(body, "#") && !strings.HasPrefix(key, " The") && !empty && !strings.Contains(name, " ") {
			line = key
		}
		b.WriteString(line)
	}
	return b.String()
}

// leaf tells whether a name is that of a key and not of what keys stand below.
func leaf(name string) bool {
	return slices.ContainsFunc(config.Keys(), func(k config.Key) bool {
		return k.Default == "" && (k.Key == name || strings.HasSuffix(k.Key, "."+name))
	})
}
