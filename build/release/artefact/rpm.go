package artefact

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
)

// The tags of rpm's header that are read, and the kinds of their values.
const (
	rpmVersion, rpmArch               = 1001, 1022
	rpmDigests                        = 1035
	rpmFolderOf, rpmNames, rpmFolders = 1116, 1117, 1118
	kindInt32, kindText, kindTexts    = 4, 6, 8
	rpmLead                           = 96 // bytes that nothing reads any more
)

// RPM reads a package of rpm's kind. Its files are known by the sums in its header, which
// rpm holds them against as it installs them.
func RPM(file string) (Said, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return Said{}, fmt.Errorf("cannot read package: %w", err)
	}
	said, err := rpm(content)
	if err != nil {
		return Said{}, fmt.Errorf("cannot read package %q: %w", file, err)
	}
	return said, nil
}

func rpm(content []byte) (Said, error) {
	if len(content) < rpmLead {
		return Said{}, fmt.Errorf("it ends in its first bytes: %w", errForm)
	}
	signatures, length, err := readHeader(content[rpmLead:])
	if err != nil {
		return Said{}, err
	}
	_ = signatures             // of nobody
	length = (length + 7) &^ 7 // the next begins at a multiple of eight
	if len(content) < rpmLead+length {
		return Said{}, fmt.Errorf("it ends after its signatures: %w", errForm)
	}
	head, _, err := readHeader(content[rpmLead+length:])
	if err != nil {
		return Said{}, err
	}
	said := Said{Version: head.text(rpmVersion), Arch: head.text(rpmArch)}
	names, folders, digests, folderOf := head.texts(rpmNames), head.texts(rpmFolders), head.texts(rpmDigests), head.numbers(rpmFolderOf)
	if len(digests) != len(names) || len(folderOf) != len(names) {
		return Said{}, fmt.Errorf("its lists of files differ in length: %w", errForm)
	}
	for i, name := range names {
		if at := int(folderOf[i]); at < len(folders) && folders[at]+name == "/"+program {
			said.Program = digests[i]
		}
	}
	if said.Program == "" {
		return Said{}, fmt.Errorf("there is no %s in it: %w", program, errForm)
	}
	return said, nil
}

// header is one table of an rpm: an index of tags, and their values.
type header struct {
	entries map[uint32]headerEntry
	store   []byte
}

type headerEntry struct{ kind, at, count uint32 }

// readHeader reads a table and returns how long it is.
func readHeader(content []byte) (header, int, error) {
	const prefix, each = 16, 16
	if len(content) < prefix || !bytes.HasPrefix(content, []byte{0x8e, 0xad, 0xe8, 0x01}) {
		return header{}, 0, fmt.Errorf("there is no header where one belongs: %w", errForm)
	}
	count, size := int(binary.BigEndian.Uint32(content[8:])), int(binary.BigEndian.Uint32(content[12:]))
	const most = 1 << 28 // of either; the format allows no more
	if count < 0 || size < 0 || count > most/each || size > most || len(content) < prefix+count*each+size {
		return header{}, 0, fmt.Errorf("a header ends early: %w", errForm)
	}
	h := header{map[uint32]headerEntry{}, content[prefix+count*each : prefix+count*each+size]}
	for i := range count {
		e := content[prefix+i*each:]
		h.entries[binary.BigEndian.Uint32(e)] = headerEntry{binary.BigEndian.Uint32(e[4:]), binary.BigEndian.Uint32(e[8:]), binary.BigEndian.Uint32(e[12:])}
	}
	return h, prefix + count*each + size, nil
}

// text is the value of a tag that has one.
func (h header) text(tag uint32) string {
	if e := h.entries[tag]; e.kind == kindText && int(e.at) < len(h.store) {
		value, _, _ := bytes.Cut(h.store[e.at:], []byte{0})
		return string(value)
	}
	return ""
}

// texts are the values of a tag that has many.
func (h header) texts(tag uint32) (values []string) {
	e := h.entries[tag]
	if e.kind != kindTexts || int(e.at) >= len(h.store) {
		return nil
	}
	for rest := h.store[e.at:]; len(values) < int(e.count) && len(rest) > 0; {
		var value []byte
		value, rest, _ = bytes.Cut(rest, []byte{0})
		values = append(values, string(value))
	}
	return values
}

func (h header) numbers(tag uint32) (values []uint32) {
	e := h.entries[tag]
	for at := int(e.at); e.kind == kindInt32 && len(values) < int(e.count) && at+4 <= len(h.store); at += 4 {
		values = append(values, binary.BigEndian.Uint32(h.store[at:]))
	}
	return values
}
