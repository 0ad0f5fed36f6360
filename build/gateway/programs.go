package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"

	"holdfast/build/rootfs"
)

// containerd is the folder with the daemon and its shim for this kind of machine: the
// provisioned ones, or ones of the same version built once.
func (p *place) containerd(ctx context.Context) (string, error) {
	if p.name == goruntime.GOARCH {
		return filepath.Join(p.root, ".tools/bin"), nil
	}
	versions, err := pins(filepath.Join(p.root, "build/provision/versions"))
	if err != nil {
		return "", err
	}
	path := filepath.Join(p.root, ".tools/gateway", "go-"+p.name+"-"+versions["CONTAINERD"])
	goarch := strings.TrimPrefix(p.platform[0], "GOARCH=")
	bin := filepath.Join(path, "bin", "linux_"+goarch)
	if _, err := os.Stat(filepath.Join(bin, "containerd")); err == nil {
		return bin, nil
	}
	fmt.Printf("gateway: building containerd %s for %s (once)\n", versions["CONTAINERD"], p.name)
	cache, err := p.goEnv(ctx, "GOMODCACHE")
	if err != nil {
		return "", err
	}
	const module = "github.com/containerd/containerd/v2/cmd/"
	cmd := rootfs.Command(ctx, "go", "install", "-trimpath", "-tags", versions["CONTAINERD_TAGS"], "-ldflags", "-s -w",
		module+"containerd-shim-runc-v2@"+versions["CONTAINERD"], module+"containerd@"+versions["CONTAINERD"])
	cmd.Dir = "/" // what it is built from is its own affair, not go.mod's
	cmd.Env = append(os.Environ(), append(p.platform, "CGO_ENABLED=0", "GOOS=linux", "GOBIN=", "GOFLAGS=-buildvcs=false", "GOPATH="+path, "GOMODCACHE="+cache)...)
	if err := rootfs.Complete(cmd, "run"); err != nil {
		return "", err
	}
	return bin, nil
}

// goEnv is a setting of the Go compiler's.
func (p *place) goEnv(ctx context.Context, name string) (string, error) {
	out, err := rootfs.Command(ctx, "go", "env", name).Output()
	if err != nil {
		return "", fmt.Errorf("cannot ask go for %s: %w", name, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// pins reads the versions that are provisioned.
func pins(file string) (map[string]string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read versions: %w", err)
	}
	found := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(name, "#") {
			found[name] = value
		}
	}
	return found, nil
}
