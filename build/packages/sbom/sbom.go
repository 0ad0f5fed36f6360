// Package sbom says what a program is made of: a CycloneDX 1.6 document from what Go wrote
// into that very program, with the licences of its modules as their own files have them.
//
// It promises that every module that is linked is in the document, with its version and
// the sum go.sum has of it, and so is the standard library; that the same program gives the
// same document; and that a licence is named only where its text was recognized.
//
// # Concurrency
//
// Functions only; none keeps anything.
//
// # Failure
//
// A program without what Go writes into it, and a module whose files are not in the
// module cache, are errors: a document with gaps would be taken for a whole one.
//
// # Testing
//
// The documents of the agent and of programs that were made wrong, held against what Go
// says of them and against what CycloneDX asks of a document.
package sbom

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"holdfast/edge"
)

// Options say what is described.
type Options struct {
	Program string    // its file
	Version string    // of holdfast; Go writes none into what is built from a checkout
	At      time.Time // the time the document gives for itself
	Cache   string    // the folder of Go's module cache
	License string    // of holdfast itself, as SPDX names it
}

// Document is a CycloneDX document, as far as it is used here.
type Document struct {
	Format       string       `json:"bomFormat"`
	Spec         string       `json:"specVersion"`
	Serial       string       `json:"serialNumber"`
	Version      int          `json:"version"`
	Metadata     Metadata     `json:"metadata"`
	Components   []Component  `json:"components"`
	Dependencies []Dependency `json:"dependencies"`
}

// Metadata says what is described.
type Metadata struct {
	Timestamp string    `json:"timestamp"`
	Component Component `json:"component"`
}

// Component is a program, a module, or the standard library.
type Component struct {
	Type       string     `json:"type"`
	Ref        string     `json:"bom-ref"`
	Name       string     `json:"name"`
	Version    string     `json:"version"`
	Hashes     []Hash     `json:"hashes,omitempty"`
	Licenses   []License  `json:"licenses,omitempty"`
	Package    string     `json:"purl"`
	Properties []Property `json:"properties,omitempty"`
}

// Hash is a sum of a component's content.
type Hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

// License is one licence, or an expression of several.
type License struct {
	License    *LicenseID `json:"license,omitempty"`
	Expression string     `json:"expression,omitempty"`
}

// LicenseID names a licence as SPDX does.
type LicenseID struct {
	ID string `json:"id"`
}

// Property is a word about a component.
type Property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Dependency says what a component holds.
type Dependency struct {
	Ref string   `json:"ref"`
	On  []string `json:"dependsOn,omitempty"`
}

// Describe reads a program and says what it is made of.
func Describe(o Options) (Document, error) {
	info, err := buildinfo.ReadFile(o.Program)
	if err != nil {
		return Document{}, fmt.Errorf("cannot read what Go wrote into program %q: %w", o.Program, err)
	}
	content, err := os.ReadFile(o.Program)
	if err != nil {
		return Document{}, fmt.Errorf("cannot read program: %w", err)
	}
	sum := sha256.Sum256(content)
	doc := Document{
		Format: "CycloneDX", Spec: "1.6", Serial: serial(sum), Version: 1,
		Metadata: Metadata{Timestamp: o.At.UTC().Format(time.RFC3339), Component: program(info, o, sum)},
	}
	doc.Components = append(doc.Components, standard(info.GoVersion))
	for _, module := range info.Deps {
		component, err := describe(module, o.Cache)
		if err != nil {
			return Document{}, err
		}
		doc.Components = append(doc.Components, component)
	}
	slices.SortFunc(doc.Components, func(a, b Component) int { return strings.Compare(a.Ref, b.Ref) })
	doc.Dependencies = dependencies(doc)
	return doc, nil
}

// Encode writes a document.
func (d Document) Encode() ([]byte, error) {
	text, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("cannot encode document: %w", err)
	}
	return append(text, '\n'), nil
}

// serial is a number of the document's own that follows from the program: a UUID of
// version 8, which leaves its bits to whoever makes it.
func serial(sum [sha256.Size]byte) string {
	id := sum[:16]
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", id[0:4], id[4:6], id[6:8], id[8:10], id[10:16])
}

// program is the component that holds all others.
func program(info *debug.BuildInfo, o Options, sum [sha256.Size]byte) Component {
	c := component("application", info.Main.Path, o.Version)
	c.Hashes = []Hash{{"SHA-256", hex.EncodeToString(sum[:])}}
	c.Licenses = licensed([]string{o.License}, false)
	for _, setting := range info.Settings {
		if slices.Contains([]string{"GOOS", "GOARCH", "GOARM", "GOAMD64", "GOARM64", "CGO_ENABLED", "-tags", "-trimpath"}, setting.Key) {
			c.Properties = append(c.Properties, Property{"go:build:" + setting.Key, setting.Value})
		}
	}
	return c
}

func component(kind, path, version string) Component {
	name := "pkg:golang/" + strings.ReplaceAll(path, "+", "%2B") + "@" + strings.ReplaceAll(version, "+", "%2B")
	return Component{Type: kind, Ref: name, Name: path, Version: version, Package: name}
}

// standard is Go's own library, which is under Go's licence.
func standard(version string) Component {
	c := component("library", "std", strings.TrimPrefix(strings.Fields(version)[0], "go"))
	c.Licenses = licensed([]string{"BSD-3-Clause"}, false)
	return c
}

// describe is one module, as it was linked: what replaces another counts.
func describe(module *debug.Module, cache string) (Component, error) {
	if module.Replace != nil {
		module = module.Replace
	}
	c := component("library", module.Path, module.Version)
	text, isSum := strings.CutPrefix(module.Sum, "h1:")
	sum, err := base64.StdEncoding.DecodeString(text)
	if !isSum || err != nil || len(sum) != sha256.Size {
		return Component{}, fmt.Errorf("cannot describe module %q: its sum %q is none of go.sum's: %w", module.Path, module.Sum, edge.ErrInvalid)
	}
	c.Hashes = []Hash{{"SHA-256", hex.EncodeToString(sum)}}
	c.Properties = []Property{{"go:sum", module.Sum}}
	texts, err := Licenses(cache, module.Path, module.Version)
	if err != nil {
		return Component{}, err
	}
	c.Licenses = licensed(names(texts))
	return c, nil
}

// licensed lists licences of which all count, or either.
func licensed(ids []string, either bool) []License {
	switch len(ids) {
	case 0:
		return nil
	case 1:
		return []License{{License: &LicenseID{ids[0]}}}
	}
	if either {
		return []License{{Expression: strings.Join(ids, " OR ")}}
	}
	return []License{{Expression: strings.Join(ids, " AND ")}}
}

// dependencies says that the program holds all components. Which of them is there for
// which other is not written into a program.
func dependencies(doc Document) []Dependency {
	root := Dependency{Ref: doc.Metadata.Component.Ref}
	all := []Dependency{}
	for _, c := range doc.Components {
		root.On = append(root.On, c.Ref)
		all = append(all, Dependency{Ref: c.Ref})
	}
	return append([]Dependency{root}, all...)
}
