package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"holdfast/build/packages/sbom"
	"holdfast/build/rootfs"
	"holdfast/edge"
)

// billFile is what a gateway says that it is made of.
const billFile = "usr/share/gateway/sbom.cdx.json"

// putBill writes what the system is made of: Debian's packages, and the modules of the
// programs that are none of Debian's.
func (p *place) putBill(ctx context.Context, stage string, o options) error {
	daemon, err := p.containerd(ctx)
	if err != nil {
		return err
	}
	cache, err := p.goEnv(ctx, "GOMODCACHE")
	if err != nil {
		return err
	}
	packaged, err := debian(filepath.Join(p.base, "var/lib/dpkg/status"))
	if err != nil {
		return err
	}
	var programs []sbom.Document
	for _, program := range []string{o.program, filepath.Join(daemon, "containerd"), filepath.Join(daemon, "containerd-shim-runc-v2")} {
		version := o.version
		if program != o.program {
			version = filepath.Base(program)
		}
		one, err := sbom.Describe(sbom.Options{Program: program, Version: version, At: time.Unix(o.epoch, 0), Cache: cache, License: "Apache-2.0"})
		if err != nil {
			return err
		}
		programs = append(programs, one)
	}
	text, err := p.bill(o, packaged, programs).Encode()
	if err != nil {
		return err
	}
	return rootfs.Write(filepath.Join(stage, billFile), text, 0o644)
}

// bill is the document of the whole system.
func (p *place) bill(o options, packaged []sbom.Component, programs []sbom.Document) sbom.Document {
	whole := sbom.Component{Type: "operating-system", Ref: "gateway", Name: "holdfast-gateway-" + p.name, Version: o.version}
	doc := sbom.Document{
		Format: "CycloneDX", Spec: "1.6", Version: 1, Serial: programs[0].Serial,
		Metadata: sbom.Metadata{Timestamp: time.Unix(o.epoch, 0).UTC().Format(time.RFC3339), Component: whole},
	}
	all, on := map[string]sbom.Component{}, sbom.Dependency{Ref: whole.Ref}
	for _, c := range packaged {
		all[c.Ref] = c
		on.On = append(on.On, c.Ref)
	}
	for _, program := range programs {
		c := program.Metadata.Component
		all[c.Ref] = c
		on.On = append(on.On, c.Ref)
		one := sbom.Dependency{Ref: c.Ref}
		for _, module := range program.Components {
			all[module.Ref] = module
			one.On = append(one.On, module.Ref)
		}
		doc.Dependencies = append(doc.Dependencies, one)
	}
	doc.Dependencies = append([]sbom.Dependency{on}, doc.Dependencies...)
	for _, ref := range slices.Sorted(maps.Keys(all)) {
		doc.Components = append(doc.Components, all[ref])
	}
	return doc
}

// debian reads which packages are installed.
func debian(status string) ([]sbom.Component, error) {
	text, err := os.ReadFile(status)
	if err != nil {
		return nil, fmt.Errorf("cannot read packages: %w", err)
	}
	var found []sbom.Component
	for entry := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n\n") {
		field := map[string]string{}
		for line := range strings.Lines(entry) {
			if name, value, ok := strings.Cut(strings.TrimRight(line, "\n"), ": "); ok && !strings.HasPrefix(line, " ") {
				field[name] = value
			}
		}
		if field["Package"] == "" || field["Version"] == "" || field["Architecture"] == "" {
			return nil, fmt.Errorf("cannot read package %q of %q: %w", field["Package"], status, edge.ErrInvalid)
		}
		name := "pkg:deb/debian/" + field["Package"] + "@" + strings.NewReplacer("+", "%2B", ":", "%3A", "~", "~").Replace(field["Version"]) +
			"?arch=" + field["Architecture"] + "&distro=debian-12"
		found = append(found, sbom.Component{Type: "library", Ref: name, Name: field["Package"], Version: field["Version"], Package: name})
	}
	return found, nil
}
