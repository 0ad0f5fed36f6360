package flash

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"holdfast/edge"
)

var errFull = errors.New("the folder is full")

// Put writes a file of so many bytes, in the root folder or one folder below it, in place
// of what has its name. Flush makes it last.
func (v *Volume) Put(path string, size int64, content io.Reader) error {
	folder, name := split(path)
	if !isFileName(name) || folder != "" && !isFileName(folder) || size > 1<<32-1 || size < 0 {
		return fmt.Errorf("cannot put file %q: its name or size is none on FAT32: %w", path, edge.ErrInvalid)
	}
	in := v.root
	if folder != "" {
		var err error
		if in, err = v.enter(folder); err != nil {
			return fmt.Errorf("cannot put file %q: %w", path, err)
		}
	}
	if err := v.putIn(in, name, size, content); err != nil {
		return fmt.Errorf("cannot put file %q: %w", path, err)
	}
	return nil
}

func (v *Volume) putIn(in uint32, name string, size int64, content io.Reader) error {
	dir, err := v.folder(in)
	if err != nil {
		return err
	}
	if old, found := dir.find(name); found {
		if old.attributes&attrFolder != 0 {
			return fmt.Errorf("a folder has this name: %w", edge.ErrInvalid)
		}
		if old.cluster != 0 {
			chain, err := v.chain(old.cluster)
			if err != nil {
				return err
			}
			v.free(chain)
		}
		dir.drop(old)
	}
	var first uint32
	if size > 0 {
		chain, err := v.fill(size, content)
		if err != nil {
			return err
		}
		first = chain[0]
	}
	return dir.add(name, entry{attributes: attrArchive, cluster: first, size: uint32(size)})
}

// fill writes content into free clusters, a run of neighbours at a time.
func (v *Volume) fill(size int64, content io.Reader) ([]uint32, error) {
	chain, err := v.take((size + v.cluster - 1) / v.cluster)
	if err != nil {
		return nil, err
	}
	buffer := make([]byte, v.cluster)
	for _, cluster := range chain {
		part := buffer[:min(v.cluster, size)]
		if _, err := io.ReadFull(content, part); err != nil {
			return nil, fmt.Errorf("cannot read what is to be put: %w", err)
		}
		clear(buffer[len(part):])
		if err := v.write(buffer, v.place(cluster)); err != nil {
			return nil, err
		}
		size -= int64(len(part))
	}
	return chain, nil
}

// enter is the cluster of a folder of the root, which is made where it is missing.
func (v *Volume) enter(name string) (uint32, error) {
	root, err := v.folder(v.root)
	if err != nil {
		return 0, err
	}
	if old, found := root.find(name); found {
		if old.attributes&attrFolder == 0 || old.cluster == 0 {
			return 0, fmt.Errorf("%q is no folder: %w", name, edge.ErrInvalid)
		}
		return old.cluster, nil
	}
	chain, err := v.take(1)
	if err != nil {
		return 0, err
	}
	content := make([]byte, v.cluster)
	copy(content, v.encode(shortDot, entry{attributes: attrFolder, cluster: chain[0]}))
	copy(content[entrySize:], v.encode(shortDots, entry{attributes: attrFolder})) // the root counts as 0
	if err := v.write(content, v.place(chain[0])); err != nil {
		return 0, err
	}
	return chain[0], root.add(name, entry{attributes: attrFolder, cluster: chain[0]})
}

// Open reads a file.
func (v *Volume) Open(path string) (io.Reader, error) {
	in := v.root
	folder, name := split(path)
	for _, part := range []string{folder, name} {
		if part == "" {
			continue
		}
		dir, err := v.folder(in)
		if err != nil {
			return nil, err
		}
		found, ok := dir.find(part)
		if !ok {
			return nil, fmt.Errorf("cannot open file %q: %w", path, edge.ErrNotFound)
		}
		if part == name {
			return v.reader(found)
		}
		in = found.cluster
	}
	return nil, fmt.Errorf("cannot open file %q: %w", path, edge.ErrNotFound)
}

func (v *Volume) reader(of entry) (io.Reader, error) {
	if of.size == 0 {
		return strings.NewReader(""), nil
	}
	chain, err := v.chain(of.cluster)
	if err != nil {
		return nil, err
	}
	if int64(len(chain))*v.cluster < int64(of.size) {
		return nil, errDamaged
	}
	return io.LimitReader(&chained{v, chain, nil}, int64(of.size)), nil
}

// chained reads clusters one after the other.
type chained struct {
	volume *Volume
	chain  []uint32
	rest   []byte
}

func (c *chained) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		if len(c.chain) == 0 {
			return 0, io.EOF
		}
		c.rest = make([]byte, c.volume.cluster)
		if err := c.volume.read(c.rest, c.volume.place(c.chain[0])); err != nil {
			return 0, err
		}
		c.chain = c.chain[1:]
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func split(path string) (folder, name string) {
	if folder, name, found := strings.Cut(path, "/"); found {
		return folder, name
	}
	return "", path
}

// isFileName accepts what every system shows as it is. What FAT allows beyond it is left
// out.
func isFileName(name string) bool {
	const longest = 255
	return name != "" && len(name) <= longest && strings.Trim(name, ". ") == name && !strings.ContainsFunc(name, func(c rune) bool {
		return c < ' ' || c > '~' || strings.ContainsRune(`"*/:<>?\|`, c)
	})
}
