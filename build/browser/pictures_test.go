package browser_test

import (
	"bytes"
	"context"
	"flag"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

var pictures = flag.String("pictures", "", "folder to write the pictures of the documentation to")

// maxPicture is what one may weigh in the repository, in bytes.
const maxPicture = 120 << 10

func TestPage_Pictures(t *testing.T) {
	dir := "../../docs/pictures"
	if *pictures != "" {
		dir = *pictures
		takePictures(t, dir)
	}
	names, err := filepath.Glob(dir + "/*.png")
	if err != nil || len(names) < 12 {
		t.Fatalf("%s holds %d pictures (%v), want 12: make pictures", dir, len(names), err)
	}
	for _, name := range names {
		if info, err := os.Stat(name); err != nil || info.Size() > maxPicture {
			t.Errorf("%s: %v, weighs %d bytes, want at most %d", name, err, info.Size(), maxPicture)
		}
	}
}

// takePictures has every scene drawn, and the files made small.
func takePictures(t testing.TB, dir string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), inTime)
	defer cancel()
	dir, err := filepath.Abs(dir)
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	out, err := script(ctx, t, "HOLDFAST_PICTURES="+dir).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Fatalf("%v\n%s", err, out)
	}
	names, _ := filepath.Glob(dir + "/*.png") // the pattern is a good one
	for _, name := range names {
		if err := shrink(name); err != nil {
			t.Error(err)
		}
	}
}

// shrink writes a picture with 256 colours: a page has few, and what lies between them is
// the edges of letters.
func shrink(name string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	full, err := png.Decode(bytes.NewReader(text))
	if err != nil {
		return err
	}
	bounds := full.Bounds()
	few := image.NewPaletted(bounds, frequent(full))
	nearest := map[color.RGBA]uint8{}
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			c := color.RGBAModel.Convert(full.At(x, y)).(color.RGBA)
			index, known := nearest[c]
			if !known {
				index = uint8(few.Palette.Index(c))
				nearest[c] = index
			}
			few.SetColorIndex(x, y, index)
		}
	}
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, few); err != nil {
		return err
	}
	return os.WriteFile(name, out.Bytes(), 0o644)
}

// frequent are the colours of a picture that cover most of it, and those that stand out.
func frequent(of image.Image) color.Palette {
	count := map[color.RGBA]int{}
	bounds := of.Bounds()
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			count[color.RGBAModel.Convert(of.At(x, y)).(color.RGBA)]++
		}
	}
	all := make([]color.RGBA, 0, len(count))
	for c := range count {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b color.RGBA) int { return count[b] - count[a] })
	var palette color.Palette
	for _, c := range all[:min(160, len(all))] {
		palette = append(palette, c)
	}
	return append(palette, farthest(all[len(palette):], palette, 256-len(palette))...)
}

// farthest are those colours that are least like any of a palette, one after the other: a
// mark of few dots is one that matters.
func farthest(all []color.RGBA, from color.Palette, n int) (chosen color.Palette) {
	away := make([]int, len(all))
	for i, c := range all {
		away[i] = distance(c, from[from.Index(c)])
	}
	for range min(n, len(all)) {
		most := slices.Index(away, slices.Max(away))
		chosen = append(chosen, all[most])
		for i, c := range all {
			away[i] = min(away[i], distance(c, all[most]))
		}
	}
	return chosen
}

func distance(a color.RGBA, to color.Color) int {
	b := color.RGBAModel.Convert(to).(color.RGBA)
	square := func(x, y uint8) int { return (int(x) - int(y)) * (int(x) - int(y)) }
	return square(a.R, b.R) + square(a.G, b.G) + square(a.B, b.B)
}
