package containerd_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"holdfast/edge"
	"holdfast/runtime/containerd"
)

// item is one entry of a layer in the making.
type item struct {
	name string
	kind byte // of tar; 0: a file
	text string
	link string
}

func file(name, text string) item { return item{name: name, text: text} }
func gone(name string) item       { return item{name: name} }
func folder(name string) item     { return item{name: name, kind: tar.TypeDir} }
func link(name, to string) item   { return item{name: name, kind: tar.TypeSymlink, link: to} }
func hard(name, to string) item   { return item{name: name, kind: tar.TypeLink, link: to} }

func makeLayer(t testing.TB, items ...item) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, i := range items {
		header := &tar.Header{Name: i.name, Typeflag: max(i.kind, tar.TypeReg), Linkname: i.link, Size: int64(len(i.text)), Mode: 0o644}
		if err := w.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, i.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

const plenty = 1 << 30

func TestLayerFiles(t *testing.T) {
	const absent = "(absent)"
	type stack [][]item
	for name, test := range map[string]struct {
		layers stack
		want   string
	}{
		"None":             {stack{}, absent},
		"NotThere":         {stack{{file("etc/group", "g")}}, absent},
		"OneLayer":         {stack{{folder("etc/"), file("etc/passwd", "a")}}, "a"},
		"Empty":            {stack{{file("etc/passwd", "a")}, {file("etc/passwd", "")}}, ""},
		"DottedName":       {stack{{file("./etc/passwd", "a")}}, "a"},
		"RootedName":       {stack{{file("/etc/passwd", "a")}}, "a"},
		"UpperReplaces":    {stack{{file("etc/passwd", "a")}, {file("etc/passwd", "b")}, {file("etc/other", "c")}}, "b"},
		"LaterReplaces":    {stack{{file("etc/passwd", "a"), file("etc/passwd", "b")}}, "b"},
		"FolderOfUpper":    {stack{{file("etc/passwd", "a")}, {folder("etc/")}}, "a"},
		"Whiteout":         {stack{{file("etc/passwd", "a")}, {gone("etc/.wh.passwd")}}, absent},
		"WhiteoutAndBack":  {stack{{file("etc/passwd", "a")}, {gone("etc/.wh.passwd")}, {file("etc/passwd", "c")}}, "c"},
		"WhiteoutOwnLayer": {stack{{file("etc/passwd", "a")}, {file("etc/passwd", "b"), gone("etc/.wh.passwd")}}, "b"},
		"WhiteoutOther":    {stack{{file("etc/passwd", "a")}, {gone("etc/.wh.pass"), gone("usr/.wh.passwd"), gone(".wh.et")}}, "a"},
		"WhiteoutFolder":   {stack{{file("etc/passwd", "a")}, {gone(".wh.etc")}}, absent},
		"Opaque":           {stack{{file("etc/passwd", "a")}, {folder("etc/"), gone("etc/.wh..wh..opq")}}, absent},
		"OpaqueWithFile":   {stack{{file("etc/passwd", "a")}, {gone("etc/.wh..wh..opq"), file("etc/passwd", "b")}}, "b"},
		"OpaqueRoot":       {stack{{file("etc/passwd", "a")}, {gone(".wh..wh..opq")}}, absent},
		"OpaqueOther":      {stack{{file("etc/passwd", "a")}, {gone("usr/.wh..wh..opq"), gone("etc/passwd.d/.wh..wh..opq")}}, "a"},
		"MetadataOfAufs":   {stack{{file("etc/passwd", "a")}, {gone("etc/.wh..wh.plnk")}}, "a"},
		"FolderInPlace":    {stack{{file("etc/passwd", "a")}, {folder("etc/passwd/")}}, absent},
		"FileForFolder":    {stack{{file("etc/passwd", "a")}, {file("etc", "x")}}, absent},
		"Link":             {stack{{file("usr/lib/passwd", "a"), link("etc/passwd", "../usr/lib/passwd")}}, "a"},
		"LinkRooted":       {stack{{file("usr/lib/passwd", "a"), link("etc/passwd", "/usr/lib/passwd")}}, "a"},
		"LinkToUpper":      {stack{{file("usr/passwd", "a"), link("etc/passwd", "/usr/passwd")}, {file("usr/passwd", "b")}}, "b"},
		"LinkAbove":        {stack{{file("passwd", "a"), link("etc/passwd", "../../../../passwd")}}, "a"},
		"LinkToNothing":    {stack{{link("etc/passwd", "/usr/passwd")}}, absent},
		"LinkReplaced":     {stack{{file("usr/passwd", "a"), link("etc/passwd", "/usr/passwd")}, {file("etc/passwd", "b")}}, "b"},
		"LinkedFolder":     {stack{{link("etc", "usr/etc"), file("usr/etc/passwd", "a")}}, "a"},
		"LinkedTwice":      {stack{{link("etc", "a"), link("a", "/b"), link("b/passwd", "p")}, {file("b/p", "c")}}, "c"},
		"HardLink":         {stack{{file("usr/passwd", "a"), hard("etc/passwd", "usr/passwd")}}, "a"},
		"HardLinkBelow":    {stack{{file("usr/passwd", "a"), hard("etc/passwd", "usr/passwd")}, {file("usr/passwd", "b")}}, "a"},
	} {
		t.Run(name, func(t *testing.T) {
			var blobs [][]byte
			for number, items := range test.layers {
				blob := makeLayer(t, items...)
				switch number % 3 { // as layers come
				case 1:
					blob = gzipped(t, blob)
				case 2:
					blob = zstandard(t, blob)
				}
				blobs = append(blobs, blob)
			}
			files, err := containerd.LayerFiles(t.Context(), blobs, plenty, "etc/passwd", "etc/shadow")
			if err != nil {
				t.Fatal(err)
			}
			got := string(files[0])
			if files[0] == nil {
				got = absent
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if files[1] != nil {
				t.Errorf("got %q of a file that is in none", files[1])
			}
		})
	}
}

func TestLayerFiles_Bounds(t *testing.T) {
	long := strings.Repeat("x", containerd.MaxSmallFile+1)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, test := range map[string]struct {
		ctx   context.Context
		blob  []byte
		left  int64
		cause error
	}{
		"LinkToItself": {t.Context(), makeLayer(t, link("etc/passwd", "passwd")), plenty, edge.ErrInvalid},
		"LinksInRing":  {t.Context(), makeLayer(t, link("etc/passwd", "p"), link("etc/p", "passwd")), plenty, edge.ErrInvalid},
		"LongFile":     {t.Context(), makeLayer(t, file("etc/passwd", long)), plenty, edge.ErrInvalid},
		"LargeLayer":   {t.Context(), gzipped(t, makeLayer(t, file("weights", long))), containerd.MaxSmallFile, edge.ErrInvalid},
		"FarReaching":  {t.Context(), farReaching(t, makeLayer(t, file("weights", long))), plenty, nil},
		"NoArchive":    {t.Context(), bytes.Repeat([]byte("no archive "), 1000), plenty, nil},
		"CutOff":       {t.Context(), makeLayer(t, file("weights", long))[:4096], plenty, io.ErrUnexpectedEOF},
		"CallerGone":   {ended, makeLayer(t, file("etc/passwd", "a")), plenty, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			files, err := containerd.LayerFiles(test.ctx, [][]byte{test.blob}, test.left, "etc/passwd")
			if err == nil || test.cause != nil && !errors.Is(err, test.cause) {
				t.Errorf("got %d bytes and %v, want an error: %v", len(files), err, test.cause)
			}
		})
	}
	t.Run("LongFileElsewhere", func(t *testing.T) {
		blob := makeLayer(t, file("weights", long), file("etc/passwd", "a"))
		if files, err := containerd.LayerFiles(t.Context(), [][]byte{blob}, plenty, "etc/passwd"); err != nil || string(files[0]) != "a" {
			t.Errorf("got %q, %v, want what is sought", files, err)
		}
	})
}
