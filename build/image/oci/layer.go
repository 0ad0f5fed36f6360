package oci

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// entry is one file, folder or symbolic link of a layer.
type entry struct {
	header tar.Header // name without leading slash; times are left at zero, which tar dates 1970
	source string     // file whose content it is
}

// layer makes the only layer of one platform's image.
func layer(spec Spec, platform *v1.Platform, binary string) (v1.Layer, error) {
	if err := checkMachine(binary, platform); err != nil {
		return nil, err
	}
	entries, err := gather(spec, binary)
	if err != nil {
		return nil, err
	}
	var content bytes.Buffer
	if err := writeEntries(&content, entries); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer))
}

// machines are the architectures whose binaries are recognised.
func machines(architecture string) (elf.Machine, bool) {
	machine, ok := map[string]elf.Machine{
		"amd64": elf.EM_X86_64, "386": elf.EM_386, "arm64": elf.EM_AARCH64, "arm": elf.EM_ARM, "riscv64": elf.EM_RISCV,
	}[architecture]
	return machine, ok
}

// checkMachine refuses a binary for another machine than the platform's, and one
// that would need a dynamic loader, which the image has not.
func checkMachine(binary string, platform *v1.Platform) error {
	file, err := elf.Open(binary)
	if err != nil {
		return fmt.Errorf("cannot read binary: %w", err)
	}
	defer file.Close()
	if want, known := machines(platform.Architecture); !known || file.Machine != want {
		return fmt.Errorf("binary %q is for %v, not for %s", binary, file.Machine, platform)
	}
	for _, program := range file.Progs {
		if program.Type == elf.PT_INTERP {
			return fmt.Errorf("binary %q is linked dynamically", binary)
		}
	}
	return nil
}

// owner reads a numeric user, with its own group unless one is given. No user at
// all is root, as for every image.
func owner(user string) (uid, gid int, err error) {
	if user == "" {
		return 0, 0, nil
	}
	first, second, both := strings.Cut(user, ":")
	if !both {
		second = first
	}
	u, err := strconv.ParseUint(first, 10, 31)
	if err != nil {
		return 0, 0, fmt.Errorf("user %q must be a number, or two as in 65532:65532", user)
	}
	g, err := strconv.ParseUint(second, 10, 31)
	if err != nil {
		return 0, 0, fmt.Errorf("group in %q must be a number", user)
	}
	return int(u), int(g), nil
}

// gather lists everything the layer holds, by name.
func gather(spec Spec, binary string) (map[string]entry, error) {
	entries := map[string]entry{}
	for _, source := range slices.Sorted(maps.Keys(spec.Dirs)) {
		if err := addDir(entries, source, spec.Dirs[source]); err != nil {
			return nil, err
		}
	}
	uid, gid, err := owner(spec.User)
	if err != nil {
		return nil, err
	}
	for _, dir := range spec.Mkdirs {
		add(entries, dir, entry{header: tar.Header{Typeflag: tar.TypeDir, Mode: 0o755, Uid: uid, Gid: gid}})
	}
	info, err := os.Stat(binary)
	if err != nil {
		return nil, err
	}
	add(entries, spec.Entry[0], entry{
		header: tar.Header{Typeflag: tar.TypeReg, Mode: 0o755, Size: info.Size()}, source: binary,
	})
	return entries, nil
}

// add puts an entry, and the folders above it, where nothing is yet or over what
// was copied there.
func add(entries map[string]entry, name string, e entry) {
	name = strings.TrimPrefix(path.Clean(name), "/")
	if name == "" {
		return // the root itself is not an entry
	}
	if parent := path.Dir(name); parent != "." {
		if _, there := entries[parent]; !there {
			add(entries, parent, entry{header: tar.Header{Typeflag: tar.TypeDir, Mode: 0o755}})
		}
	}
	e.header.Name = name
	if e.header.Typeflag == tar.TypeDir {
		e.header.Name += "/"
	}
	entries[name] = e
}

// addDir copies a folder: folders, files with their executable bit, and symbolic
// links. Anything else is refused rather than left out.
func addDir(entries map[string]entry, source, target string) error {
	return filepath.WalkDir(source, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(source, file)
		if err != nil {
			return err
		}
		e, err := copied(file, d)
		if err != nil {
			return err
		}
		add(entries, path.Join(target, filepath.ToSlash(relative)), e)
		return nil
	})
}

// copied describes one thing of a copied folder.
func copied(file string, d fs.DirEntry) (entry, error) {
	info, err := d.Info()
	if err != nil {
		return entry{}, err
	}
	switch info.Mode().Type() {
	case fs.ModeDir:
		return entry{header: tar.Header{Typeflag: tar.TypeDir, Mode: 0o755}}, nil
	case fs.ModeSymlink:
		link, err := os.Readlink(file)
		return entry{header: tar.Header{Typeflag: tar.TypeSymlink, Linkname: link, Mode: 0o777}}, err
	case 0:
		mode := int64(0o644)
		if info.Mode()&0o111 != 0 {
			mode = 0o755
		}
		return entry{header: tar.Header{Typeflag: tar.TypeReg, Mode: mode, Size: info.Size()}, source: file}, nil
	}
	return entry{}, fmt.Errorf("cannot put %q into an image: it is neither file, folder nor symbolic link", file)
}

// writeEntries writes them in the order of their names, folders before their content.
func writeEntries(w io.Writer, entries map[string]entry) error {
	archive := tar.NewWriter(w)
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		if err := writeEntry(archive, entries[name]); err != nil {
			return fmt.Errorf("cannot write %q: %w", name, err)
		}
	}
	return archive.Close()
}

// writeEntry writes one of them.
func writeEntry(archive *tar.Writer, e entry) error {
	if err := archive.WriteHeader(&e.header); err != nil || e.source == "" {
		return err
	}
	file, err := os.Open(e.source)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(archive, file)
	return err
}
