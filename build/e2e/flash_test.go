package e2e_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/edge/cli"
)

// with runs a tool of the system's, and wants it to end well.
func with(t testing.TB, name string, arguments ...string) string {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), name, arguments...)
	cmd.Env = append(os.Environ(), "MTOOLS_SKIP_CHECK=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, arguments, err, out)
	}
	return string(out)
}

const mebibyte = 1 << 20

// smallGateway is a disk as a gateway's, with nothing in it that starts.
func smallGateway(t testing.TB, dir string) string {
	t.Helper()
	image, boot := filepath.Join(dir, "gateway.img"), filepath.Join(dir, "boot.fat")
	with(t, "truncate", "-s", "48M", image)
	with(t, "truncate", "-s", "36M", boot)
	with(t, "mkfs.vfat", "-F", "32", "-n", "HOLDFAST", boot)
	with(t, "sh", "-c", "printf 'label: gpt\nsize=36MiB, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B\ntype=L\n' | sfdisk -q "+image)
	with(t, "dd", "if="+boot, "of="+image, "bs=1M", "seek=1", "conv=notrunc", "status=none")
	return image
}

// TestFlash_ToFirstBoot flashes a file with a site file and a model, and starts what is on
// its boot partition as the gateway would.
func TestFlash_ToFirstBoot(t *testing.T) {
	dir := t.TempDir()
	image, target, siteFile := smallGateway(t, dir), filepath.Join(dir, "card"), filepath.Join(dir, "line-3.yaml")
	fleet := newAuthority(t, "fleet")
	for path, text := range map[string]string{
		siteFile: "node: {name: line-3-gw}\nbroker: {url: \"tls://127.0.0.1:1\", ca: fleet.pem}\n", filepath.Join(dir, "fleet.pem"): "no certificate",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	flash := func(more ...string) said {
		return run(t, append([]string{"flash", image, target, "--site", siteFile, "--preload", shop.digits()}, more...)...)
	}
	with(t, "truncate", "-s", "96M", target)
	flash("--yes", "card").want(t, cli.ExitUsage, "line 2: broker.ca: holds no certificate")
	with(t, "cp", fleet.path("ca.pem"), filepath.Join(dir, "fleet.pem"))
	flash().want(t, cli.ExitUsage, "type card to go on", "nothing was written")
	flash("--yes", "other").want(t, cli.ExitUsage, `--yes names "other", and the target is "card"`)
	if content, err := os.ReadFile(target); err != nil || len(bytes.Trim(content, "\x00")) > 0 {
		t.Fatalf("something was written without consent (%v)", err)
	}
	flash("--yes", "card").want(t, cli.ExitOK, "verified: ", "put in holdfast-site.yaml", "put in fleet.pem", "put in images/"+filepath.Base(shop.digits()), "at the end of the target")

	n := placeNode(t)
	boot := n.bootPartition()
	part := filepath.Join(dir, "part")
	with(t, "dd", "if="+target, "of="+part, "bs=1M", "skip=1", "count=36", "status=none")
	with(t, "fsck.vfat", "-n", part)
	with(t, "mcopy", "-s", "-i", part, "::", boot.dir)
	boot.start().want(t, cli.ExitOK, "applied holdfast-site.yaml", "moved image "+filepath.Base(shop.digits()))
	moved, err := os.ReadFile(filepath.Join(n.StateFolder(), "images", filepath.Base(shop.digits())))
	if err != nil {
		t.Fatal(err)
	}
	if want, err := os.ReadFile(shop.digits()); err != nil || !bytes.Equal(moved, want) {
		t.Errorf("the image in the stock is not the one that was preloaded (%v)", err)
	}
}

// TestFlash_RefusesTheSystem asks to write to the disk that this machine runs from.
func TestFlash_RefusesTheSystem(t *testing.T) {
	source := strings.TrimSpace(with(t, "findmnt", "--noheadings", "--output", "SOURCE", "/"))
	if !strings.HasPrefix(source, "/dev/") {
		t.Logf("the root of this machine is %q, no device", source)
		return
	}
	image := filepath.Join(t.TempDir(), "empty.img")
	if err := os.WriteFile(image, make([]byte, mebibyte), 0o600); err != nil {
		t.Fatal(err)
	}
	said := run(t, "flash", image, source, "--yes", filepath.Base(source))
	if said.code != cli.ExitUsage || !strings.Contains(said.stderr, "is in use") && !strings.Contains(said.stderr, "is a partition") {
		t.Errorf("exit code %d:\n%s%s", said.code, said.stdout, said.stderr)
	}
}
