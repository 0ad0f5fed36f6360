package flash

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"
	"unicode/utf16"
)

const (
	entrySize   = 32
	attrLabel   = 0x08
	attrFolder  = 0x10
	attrArchive = 0x20
	attrLong    = 0x0f // a part of a long name
	erased      = 0xe5
	shortBytes  = 11
	perLong     = 13 // letters of a long name in one entry
	// maxFolder is FAT's bound of a folder: 65,536 entries.
	maxFolder = 65536 * entrySize

	shortDot  = ".          "
	shortDots = "..         "
)

// folder is a folder's content in memory.
type folder struct {
	volume  *Volume
	chain   []uint32
	content []byte
}

// entry is a file or folder of a folder.
type entry struct {
	attributes byte
	cluster    uint32
	size       uint32

	first, last int // its places in the folder, long names included
}

func (v *Volume) folder(first uint32) (*folder, error) {
	chain, err := v.chain(first)
	if err != nil {
		return nil, err
	}
	if int64(len(chain))*v.cluster > maxFolder+v.cluster {
		return nil, errDamaged
	}
	f := &folder{volume: v, chain: chain, content: make([]byte, int64(len(chain))*v.cluster)}
	for i, cluster := range chain {
		at := int64(i) * v.cluster
		if err := v.read(f.content[at:at+v.cluster], v.place(cluster)); err != nil {
			return nil, err
		}
	}
	f.clearBehind()
	return f, nil
}

// clearBehind clears what is behind the end: some tools leave there what was before, and an
// entry that takes the end's place would bring it back.
func (f *folder) clearBehind() {
	for i := range f.count() {
		if f.isBehind(i) {
			clear(f.content[i*entrySize:])
			return
		}
	}
}

func (f *folder) count() int           { return len(f.content) / entrySize }
func (f *folder) slot(i int) []byte    { return f.content[i*entrySize : (i+1)*entrySize] }
func isPart(slot []byte) bool          { return slot[11]&attrLong == attrLong }
func shortOf(slot []byte) string       { return string(slot[:shortBytes]) }
func (f *folder) isFree(i int) bool    { return f.slot(i)[0] == 0 || f.slot(i)[0] == erased }
func (f *folder) isBehind(i int) bool  { return f.slot(i)[0] == 0 }
func sameName(a, b string) bool        { return strings.EqualFold(a, b) }
func lowHigh(low, high uint16) uint32  { return uint32(low) | uint32(high)<<16 }
func half(slot []byte, at int) uint16  { return binary.LittleEndian.Uint16(slot[at:]) }
func whole(slot []byte, at int) uint32 { return binary.LittleEndian.Uint32(slot[at:]) }

// find looks for a name, long or short; capitals do not count.
func (f *folder) find(name string) (entry, bool) {
	var parts []uint16
	first := -1
	for i := range f.count() {
		slot := f.slot(i)
		switch {
		case f.isBehind(i):
			return entry{}, false
		case slot[0] == erased:
			parts, first = nil, -1
		case !isPart(slot) && slot[11]&attrLabel != 0: // the volume's name
			parts, first = nil, -1
		case isPart(slot):
			if first < 0 || slot[0]&0x40 != 0 {
				parts, first = nil, i
			}
			parts = append(longPart(slot), parts...)
		default:
			if sameName(longName(parts), name) || sameName(shortName(shortOf(slot)), name) {
				if first < 0 {
					first = i
				}
				return entry{slot[11], lowHigh(half(slot, 26), half(slot, 20)) & chainMask, whole(slot, 28), first, i}, true
			}
			parts, first = nil, -1
		}
	}
	return entry{}, false
}

// longPart are the letters of a long name that stand in one entry.
func longPart(slot []byte) (letters []uint16) {
	for _, span := range longSpans() {
		for at := span[0]; at < span[1]; at += 2 {
			letters = append(letters, half(slot, at))
		}
	}
	return letters
}

// longSpans is where the letters stand.
func longSpans() [3][2]int { return [3][2]int{{1, 11}, {14, 26}, {28, 32}} }

func longName(letters []uint16) string {
	for i, letter := range letters {
		if letter == 0 {
			letters = letters[:i]
			break
		}
	}
	return string(utf16.Decode(letters))
}

// shortName is NAME.EXT of eleven letters.
func shortName(raw string) string {
	base, ending := strings.TrimRight(raw[:8], " "), strings.TrimRight(raw[8:], " ")
	if ending == "" {
		return base
	}
	return base + "." + ending
}

// drop gives the places of an entry back.
func (f *folder) drop(e entry) {
	for i := e.first; i <= e.last; i++ {
		f.slot(i)[0] = erased
	}
}

// add writes an entry with its long name, and the folder.
func (f *folder) add(name string, e entry) error {
	short := f.alias(name)
	letters := utf16.Encode([]rune(name))
	parts := (len(letters) + perLong - 1) / perLong
	at, err := f.room(parts + 1)
	if err != nil {
		return err
	}
	sum := checksum(short)
	for i := range parts {
		number := parts - i
		copy(f.slot(at+i), encodeLong(letters, number, number == parts, sum))
	}
	copy(f.slot(at+parts), f.volume.encode(short, e))
	return f.store()
}

// room finds neighbouring places, and makes the folder longer where there are none.
func (f *folder) room(count int) (int, error) {
	run := 0
	for i := range f.count() {
		if run++; !f.isFree(i) {
			run = 0
		}
		if run == count {
			return i - count + 1, nil
		}
	}
	at := f.count() - run
	for f.count()-at < count {
		if len(f.content) >= maxFolder {
			return 0, errFull
		}
		more, err := f.volume.take(1)
		if err != nil {
			return 0, err
		}
		f.volume.link(f.chain[len(f.chain)-1], more[0])
		f.chain = append(f.chain, more[0])
		f.content = append(f.content, make([]byte, f.volume.cluster)...)
	}
	return at, nil
}

func (f *folder) store() error {
	for i, cluster := range f.chain {
		at := int64(i) * f.volume.cluster
		if err := f.volume.write(f.content[at:at+f.volume.cluster], f.volume.place(cluster)); err != nil {
			return err
		}
	}
	return nil
}

// alias is a short name that no other entry has.
func (f *folder) alias(name string) string {
	base, ending := name, ""
	if dot := strings.LastIndexByte(name, '.'); dot > 0 {
		base, ending = name[:dot], name[dot+1:]
	}
	base, ending = plainLetters(base), plainLetters(ending)
	for number := 1; ; number++ {
		tail := fmt.Sprintf("~%d", number)
		short := fmt.Sprintf("%-8s%-3s", base[:min(len(base), 8-len(tail))]+tail, ending[:min(len(ending), 3)])
		if !f.hasShort(short) {
			return short
		}
	}
}

func (f *folder) hasShort(short string) bool {
	for i := range f.count() {
		if slot := f.slot(i); !f.isFree(i) && !isPart(slot) && shortOf(slot) == short {
			return true
		}
	}
	return false
}

// plainLetters are the capitals and digits of a name.
func plainLetters(s string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z':
			return c - 'a' + 'A'
		case c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_':
			return c
		}
		return -1
	}, s)
}

// checksum binds a long name to its short one.
func checksum(short string) (sum byte) {
	for i := range shortBytes {
		sum = sum>>1 | sum<<7
		sum += short[i]
	}
	return sum
}

func encodeLong(letters []uint16, number int, last bool, sum byte) []byte {
	slot := make([]byte, entrySize)
	slot[0] = byte(number)
	if last {
		slot[0] |= 0x40
	}
	slot[11], slot[13] = attrLong, sum
	at := (number - 1) * perLong
	for _, span := range longSpans() {
		for place := span[0]; place < span[1]; place += 2 {
			letter := uint16(0xffff) // behind the end
			switch {
			case at < len(letters):
				letter = letters[at]
			case at == len(letters):
				letter = 0
			}
			binary.LittleEndian.PutUint16(slot[place:], letter)
			at++
		}
	}
	return slot
}

// stamp is a day as FAT writes it; its calendar begins with 1980.
func stamp(year int, month time.Month, day int) uint16 {
	if year < 1980 || year > 2107 {
		year, month, day = 1980, time.January, 1
	}
	return uint16((year-1980)<<9 | int(month)<<5 | day)
}

// encode is an entry of 32 bytes.
func (v *Volume) encode(short string, e entry) []byte {
	slot := make([]byte, entrySize)
	copy(slot, short)
	slot[11] = e.attributes
	date, hour := stamp(v.now.Date()), uint16(v.now.Hour()<<11|v.now.Minute()<<5|v.now.Second()/2)
	for _, at := range []int{16, 18, 24} { // made, looked at, changed
		binary.LittleEndian.PutUint16(slot[at:], date)
	}
	binary.LittleEndian.PutUint16(slot[14:], hour)
	binary.LittleEndian.PutUint16(slot[22:], hour)
	binary.LittleEndian.PutUint16(slot[20:], uint16(e.cluster>>16))
	binary.LittleEndian.PutUint16(slot[26:], uint16(e.cluster))
	binary.LittleEndian.PutUint32(slot[28:], e.size)
	return slot
}
