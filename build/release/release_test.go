package main

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/build/image/oci"
	"holdfast/build/release/artefact"
	"holdfast/edge"
	"holdfast/edge/fleet"
)

const (
	epoch   = 1767323045 // 2026-01-02T03:04:05Z
	version = "v1.2.3"
	other   = "v1.2.4"
)

// complete runs a program, or ends the test.
func complete(t *testing.T, dir string, environ []string, words ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), words[0], words[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), environ...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(words, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// tools puts scripts in the place of what reads gateways' images: files are what they hold.
func tools(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "unsquashfs"), "#!/bin/sh\nexec cat \"$3\"\n")
	write(t, filepath.Join(dir, "zstd"), "#!/bin/sh\nexec cat \"$4\"\n")
	write(t, filepath.Join(dir, "rauc"), "#!/bin/sh\nexec cat \"$4\"\n")
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

// checkout is a repository of one commit, in whose dist everything was built as make release
// does, of programs that say this version.
func checkout(t *testing.T, says string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "LICENSE"), "terms\n")
	write(t, filepath.Join(dir, ".gitignore"), "/dist/\n")
	for _, words := range []string{"init -q", "add -A", "-c user.name=n -c user.email=n@holdfast.example -c commit.gpgsign=false commit -qm one"} {
		complete(t, dir, nil, append([]string{"git"}, strings.Fields(words)...)...)
	}
	var packed []string
	for _, m := range machines() {
		environ := []string{"CGO_ENABLED=0", "GOARCH=" + m.goarch, "GOARM=7"}
		for file, text := range map[string]string{filepath.Join(dir, "dist", m.program()): says, filepath.Join(dir, "dist/images/server-"+m.name): "server"} {
			complete(t, ".", environ, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid= -X main.version="+text, "-o", file, "./testdata/agent")
		}
		packed = append(packed, m.name+"="+filepath.Join(dir, "dist", m.program()))
	}
	complete(t, "../..", nil, append([]string{
		"go", "run", "-tags", "grpcnotrace,nethttpomithttp2", "./build/packages", "-version", says, "-epoch", fmt.Sprint(epoch),
		"-out", filepath.Join(dir, "dist/packages"),
	}, packed...)...)
	pack(t, dir, agentImage, agentProgram, "dist/holdfast-linux-", says)
	pack(t, dir, sampleImage, sampleProgram, "dist/images/server-", "")
	gateway(t, filepath.Join(dir, "dist"), says)
	return dir
}

// pack makes an archive of an image.
func pack(t *testing.T, dir, name, entry, programs, label string) {
	t.Helper()
	spec := oci.Spec{Name: "holdfast.example/" + strings.TrimSuffix(name, ".oci.tar") + ":1", Entry: []string{entry}, User: "0:0", Binaries: map[string]string{}}
	if label != "" {
		spec.Labels = map[string]string{"org.opencontainers.image.version": label}
	}
	for _, m := range machines() {
		spec.Binaries[m.platform] = filepath.Join(dir, programs+m.name)
	}
	index, err := oci.Build(spec)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := oci.WriteArchive(filepath.Join(dir, "dist/images", name), spec.Name, index); err != nil {
		t.Fatal(err)
	}
}

// gateway makes what stands for an image, as the scripts of tools read it.
func gateway(t *testing.T, dist, says string) {
	t.Helper()
	stem := filepath.Join(dist, "gateway/holdfast-gateway-amd64")
	program := read(t, filepath.Join(dist, "holdfast-linux-amd64"))
	agent, _ := artefact.Sum(filepath.Join(dist, "holdfast-linux-amd64"))
	type flat = map[string]any
	bill, _ := json.Marshal(flat{
		"metadata":   flat{"component": flat{"name": "holdfast-gateway-amd64", "version": says}},
		"components": []flat{{"name": "holdfast", "version": says, "hashes": []flat{{"alg": "SHA-256", "content": agent}}}},
	})
	bundle, _ := json.Marshal(flat{"compatible": "holdfast-gateway-amd64", "version": says, "images": []flat{{"rootfs": flat{"checksum": agent}}}})
	write(t, stem+".squashfs", program)
	write(t, stem+".cdx.json", string(bill))
	write(t, stem+".raucb", string(bundle))
	write(t, stem+".img", "a disk with "+says)
	write(t, stem+".img.zst", "a disk with "+says)
	write(t, filepath.Join(dist, "gateway/keys/keys/.begun"), "")
	if err := os.RemoveAll(filepath.Join(dist, "gateway/keys")); err != nil {
		t.Fatal(err)
	}
	if _, err := (trusted{}).orDeveloper(t.Context(), filepath.Join(dist, "gateway/keys")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dist, "gateway/keys/system.pem"), "a certificate\n")
	for _, end := range []string{".squashfs", ".cdx.json", ".img", ".img.zst"} {
		beside(t, stem+end)
	}
}

// beside writes the sum of a file.
func beside(t *testing.T, file string) {
	t.Helper()
	sum, err := artefact.Sum(file)
	if err != nil {
		t.Fatal(err)
	}
	write(t, file+".sha256", sum+"  "+filepath.Base(file)+"\n")
}

// release runs a verb of the command.
func release(ctx context.Context, dir, verb string, args ...string) (string, error) {
	var said strings.Builder
	words := append([]string{verb}, args...)
	if verb == "ready" || verb == "make" {
		words = append(words, "-checkout", dir, "-version", version, "-epoch", fmt.Sprint(epoch))
	}
	err := run(ctx, words, &said)
	return said.String(), err
}

// TestRelease makes a release, makes it again, has a stranger verify it, and then spoils it in
// every way a build could.
func TestRelease(t *testing.T) {
	tools(t)
	dir, wrong := checkout(t, version), checkout(t, other)
	said, err := release(t.Context(), dir, "make", "-gateways", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	made := filepath.Join(dir, "dist/release", version)
	for _, want := range []string{"release v1.2.3, sequence 1", "developer's key", "not for production", "openssl pkeyutl -verify"} {
		if !strings.Contains(said, want) {
			t.Errorf("it says nothing of %q:\n%s", want, said)
		}
	}
	t.Run("Again", func(t *testing.T) { wantSame(t, dir, made) })
	t.Run("Stranger", func(t *testing.T) { wantVerified(t, made) })
	t.Run("Signed", func(t *testing.T) { wantSignedAnew(t, made) })
	t.Run("Spoiled", func(t *testing.T) { wantFound(t, dir, made, wrong) })
	t.Run("Unsigned", func(t *testing.T) { wantUnsigned(t, made) })
}

// wantSame: a version that is there is not made again; elsewhere it is the same.
func wantSame(t *testing.T, dir, made string) {
	if _, err := release(t.Context(), dir, "make", "-gateways", "amd64"); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("over a release that is there: %v", err)
	}
	elsewhere := t.TempDir()
	if _, err := release(t.Context(), dir, "make", "-gateways", "amd64", "-out", elsewhere); err != nil {
		t.Fatal(err)
	}
	again := filepath.Join(elsewhere, version)
	if said, err := release(t.Context(), dir, "make", "-out", filepath.Join(elsewhere, "none")); err != nil || strings.Contains(said, "gateway") {
		t.Errorf("without images: %v\n%s", err, said)
	}
	if said, err := release(t.Context(), dir, "compare", made, again); err != nil || !strings.Contains(said, "files are the same") || strings.Contains(said, "differs") {
		t.Errorf("%v\n%s", err, said)
	}
	// A bundle that differs excuses its line of the sums, and nothing else.
	write(t, filepath.Join(again, "holdfast-gateway-amd64.raucb"), read(t, filepath.Join(again, "holdfast-gateway-amd64.raucb"))+"\n")
	resum(t, dir, again)
	if said, err := release(t.Context(), dir, "compare", made, again); err != nil || strings.Count(said, "differs") != 3 {
		t.Errorf("with another bundle: %v\n%s", err, said)
	}
	write(t, filepath.Join(again, "LICENSE"), "other terms\n")
	resum(t, dir, again)
	if _, err := release(t.Context(), dir, "compare", made, again); err == nil || !strings.Contains(err.Error(), "LICENSE: differs") || !strings.Contains(err.Error(), "SHA256SUMS: differs") {
		t.Errorf("with other terms: %v", err)
	}
	write(t, filepath.Join(again, "more"), "")
	if _, err := release(t.Context(), dir, "compare", made, again); err == nil || !strings.Contains(err.Error(), "more") {
		t.Errorf("with one file more: %v", err)
	}
}

// wantVerified does what the documentation tells a stranger to.
func wantVerified(t *testing.T, made string) {
	verify := []string{"openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", publicFile, "-in", sumsFile, "-sigfile", signatureFile}
	if said := complete(t, made, nil, verify...); !strings.Contains(said, "Signature Verified Successfully") {
		t.Errorf("openssl says %q", said)
	}
	complete(t, made, nil, "sha256sum", "--check", "--strict", "--quiet", sumsFile)
	spoiled := copied(t, made)
	write(t, filepath.Join(spoiled, sumsFile), read(t, filepath.Join(spoiled, sumsFile))+"\n")
	cmd := exec.CommandContext(t.Context(), verify[0], verify[1:]...)
	cmd.Dir = spoiled
	if out, err := cmd.CombinedOutput(); err == nil {
		t.Errorf("of other sums openssl says %q", out)
	}
}

// copied is a copy of a release to be spoiled.
func copied(t *testing.T, made string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), version)
	complete(t, ".", nil, "cp", "-r", made, to)
	return to
}

// resum signs what is there with the developer's key, whatever it is.
func resum(t *testing.T, dir, folder string) {
	t.Helper()
	private, err := fleet.ReadPrivateKey(filepath.Join(dir, "dist/gateway/keys/keys/release-1.key"))
	if err != nil {
		t.Fatal(err)
	}
	sums, err := sumsOf(folder)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(folder, sumsFile), string(sums))
	write(t, filepath.Join(folder, signatureFile), string(ed25519.Sign(private, sums)))
}

// wantSignedAnew: keys that the builder never had sign what it built.
func wantSignedAnew(t *testing.T, made string) {
	folder, keys := copied(t, made), filepath.Join(t.TempDir(), "keys")
	if err := holdfast(t.Context(), "policy", "init", keys); err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(keys, rootFile)
	if _, err := release(t.Context(), "", "check", folder, "-root", root); err == nil || !strings.Contains(err.Error(), "names nobody") {
		t.Errorf("before, under the other root: %v", err)
	}
	if _, err := release(t.Context(), "", "sign", folder, "-root", root, "-key", filepath.Join(keys, "keys/policy-1.key")); err == nil || !strings.Contains(err.Error(), "does not name it for releases") {
		t.Errorf("with a key of policies: %v", err)
	}
	said, err := release(t.Context(), "", "sign", folder, "-root", root, "-key", filepath.Join(keys, "keys/release-1.key"))
	if err != nil || strings.Contains(said, "signed by a developer") || !strings.Contains(said, "images trust a developer") {
		t.Errorf("%v\n%s", err, said)
	}
	if _, err := release(t.Context(), "", "check", folder, "-root", root); err != nil {
		t.Errorf("after, under that root: %v", err)
	}
	write(t, filepath.Join(folder, "LICENSE"), "other terms\n")
	if _, err := release(t.Context(), "", "sign", folder, "-root", root, "-key", filepath.Join(keys, "keys/release-1.key")); err == nil {
		t.Error("what had changed since was signed")
	}
}

// wantFound: a file of another version or with another program is found, though all is signed.
func wantFound(t *testing.T, dir, made, wrong string) {
	from := func(name string) func(t *testing.T, folder string) { // the same file of the other version
		return func(t *testing.T, folder string) {
			to := filepath.Base(name)
			to = strings.Replace(to, other[1:], version[1:], 1)
			write(t, filepath.Join(folder, to), read(t, filepath.Join(wrong, "dist", name)))
		}
	}
	stem := "holdfast-gateway-amd64"
	for name, c := range map[string]struct {
		spoil func(t *testing.T, folder string)
		want  []string
	}{
		"Program":  {from("holdfast-linux-armv7"), []string{`holdfast-linux-armv7: its version is "v1.2.4", want "v1.2.3"`, "armhf.deb: its program", "is not the one of release v1.2.3"}},
		"Deb":      {from("packages/holdfast_1.2.4_arm64.deb"), []string{`arm64.deb: its version is "1.2.4"`, "arm64.deb: its program"}},
		"RPM":      {from("packages/holdfast-1.2.4-1.x86_64.rpm"), []string{`x86_64.rpm: its version is "1.2.4"`, "x86_64.rpm: its program"}},
		"Apk":      {from("packages/holdfast_1.2.4-r0_armv7.apk"), []string{`armv7.apk: its version is "1.2.4-r0"`, "armv7.apk: its program"}},
		"Bill":     {from("packages/holdfast_1.2.4_amd64.cdx.json"), []string{`cdx.json: its version is "1.2.4"`, "cdx.json: its program"}},
		"Image":    {from("images/holdfast.oci.tar"), []string{`holdfast.oci.tar for linux/arm/v7: its version is "v1.2.4"`, "for linux/amd64: its program"}},
		"System":   {from("gateway/" + stem + ".squashfs"), []string{stem + ".squashfs: its program", stem + ".raucb: its system", ".squashfs.sha256: its line"}},
		"Bundle":   {from("gateway/" + stem + ".raucb"), []string{stem + `.raucb: its version is "v1.2.4"`, "its system"}},
		"Disk":     {from("gateway/" + stem + ".img.zst"), []string{stem + ".img.sha256: its line", stem + ".img.zst.sha256: its line"}},
		"Contents": {from("gateway/" + stem + ".cdx.json"), []string{stem + `.cdx.json: its version is "v1.2.4"`, "its program"}},
		"WrongArch": {func(t *testing.T, folder string) {
			write(t, filepath.Join(folder, "holdfast_1.2.3_arm64.deb"), read(t, filepath.Join(folder, "holdfast_1.2.3_amd64.deb")))
		}, []string{`arm64.deb: its architecture is "amd64", want "arm64"`}},
		"Sample": {func(t *testing.T, folder string) {
			write(t, filepath.Join(folder, sampleImage), read(t, filepath.Join(folder, agentImage)))
		}, []string{sampleImage}},
		"Missing": {func(t *testing.T, folder string) { remove(t, filepath.Join(folder, "holdfast_1.2.3-r0_x86_64.apk")) }, []string{"x86_64.apk: it is missing"}},
		"More":    {func(t *testing.T, folder string) { write(t, filepath.Join(folder, "release-1.key"), "private") }, []string{"release-1.key: nobody expects it"}},
		"Sequence": {func(t *testing.T, folder string) {
			text := read(t, filepath.Join(folder, factsFile))
			write(t, filepath.Join(folder, factsFile), strings.Replace(text, `"sequence": 1`, `"sequence": 2`, 1))
		}, []string{`holdfast-release.json: its sequence is "1", want "2"`}},
	} {
		t.Run(name, func(t *testing.T) {
			folder := copied(t, made)
			c.spoil(t, folder)
			resum(t, dir, folder)
			_, err := release(t.Context(), dir, "check", folder)
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("want %q in: %v", want, err)
				}
			}
		})
	}
}

func remove(t *testing.T, file string) {
	t.Helper()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
}

// wantUnsigned: nothing of what was not signed is looked into.
func wantUnsigned(t *testing.T, made string) {
	for name, c := range map[string]struct {
		file, text string
		want       string
	}{
		"File":      {"LICENSE", "other terms\n", "  LICENSE"},
		"Sums":      {sumsFile, "", "names nobody for releases who signed it"},
		"Signature": {signatureFile, strings.Repeat("x", ed25519.SignatureSize), "names nobody for releases who signed it"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := copied(t, made)
			write(t, filepath.Join(folder, c.file), c.text)
			if _, err := release(t.Context(), "", "check", folder); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestReady(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, ".gitignore"), "/dist/\n")
	for _, words := range []string{"init -q", "add -A", "-c user.name=n -c user.email=n@holdfast.example -c commit.gpgsign=false commit -qm one"} {
		complete(t, dir, nil, append([]string{"git"}, strings.Fields(words)...)...)
	}
	keys := filepath.Join(t.TempDir(), "keys")
	if err := holdfast(t.Context(), "policy", "init", keys); err != nil {
		t.Fatal(err)
	}
	root, key := filepath.Join(keys, rootFile), filepath.Join(keys, "keys/release-1.key")
	ready := func(args ...string) error {
		return run(t.Context(), append([]string{"ready", "-checkout", dir, "-epoch", fmt.Sprint(epoch), "-version", version}, args...), io.Discard)
	}
	t.Run("Clean", func(t *testing.T) {
		if err := ready(); err != nil {
			t.Error(err)
		}
		if err := ready("-key", key, "-root", root); err != nil {
			t.Error(err)
		}
	})
	for want, args := range map[string][]string{
		"cannot read version":            {"-version", "dev"},
		"none of amd64":                  {"-gateways", "amd64 riscv64"},
		"KEY is given without ROOT":      {"-key", key},
		"nobody would sign":              {"-root", root},
		"would trust a developer's keys": {"-key", key, "-root", root, "-gateways", "amd64"},
		"does not name it":               {"-key", filepath.Join(keys, "keys/root-1.key"), "-root", root},
		"went from commit abc":           {"-commit", "abc"},
		"cannot read notes":              {"-notes", filepath.Join(dir, "none")},
	} {
		t.Run(want, func(t *testing.T) {
			if err := ready(args...); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("Changed", func(t *testing.T) {
		// git describes a tree with a new file as clean; Go would compile the file.
		write(t, filepath.Join(dir, "new.go"), "package main\n")
		if err := ready(); err == nil || !strings.Contains(err.Error(), "new.go") || !strings.Contains(edge.HintOf(err), "CHANGED=yes") {
			t.Errorf("got %v", err)
		}
		if err := ready("-changed"); err == nil || !strings.Contains(err.Error(), "does not say so") {
			t.Errorf("got %v", err)
		}
		if err := ready("-changed", "-version", version+"-dirty"); err != nil {
			t.Error(err)
		}
	})
	t.Run("Shallow", func(t *testing.T) {
		shallow := filepath.Join(t.TempDir(), "shallow")
		complete(t, dir, nil, "git", "-c", "user.name=n", "-c", "user.email=n@holdfast.example", "commit", "-q", "--allow-empty", "-m", "two")
		complete(t, dir, nil, "git", "clone", "-q", "--depth=1", "file://"+dir, shallow)
		args := []string{"ready", "-checkout", shallow, "-epoch", fmt.Sprint(epoch), "-version", version}
		if err := run(t.Context(), args, io.Discard); err == nil || !strings.Contains(err.Error(), "not all commits") {
			t.Errorf("got %v", err)
		}
		if err := run(t.Context(), append(args, "-sequence", "7"), io.Discard); err != nil {
			t.Error(err)
		}
	})
}
