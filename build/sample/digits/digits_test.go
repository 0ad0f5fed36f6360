package digits_test

import (
	"slices"
	"strings"
	"testing"

	"holdfast/build/sample/digits"
)

func TestOpen_UnknownModel(t *testing.T) {
	if model, err := digits.Open("faces"); err == nil || !strings.Contains(err.Error(), "faces") {
		t.Errorf("opened %v, %v", model, err)
	}
}

func TestClassify_HighestScore(t *testing.T) {
	for _, name := range []string{"digits", "digits-lite"} {
		model, err := digits.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		scores := make([]float32, digits.Classes)
		for ink := range digits.MaxInk + 1 {
			pixels := slices.Repeat([]float32{float32(ink)}, digits.Pixels)
			if got := digits.Classify(model, scores, pixels); scores[got] != slices.Max(scores) {
				t.Errorf("%s: %d of %v", name, got, scores)
			}
		}
	}
}

func BenchmarkScore(b *testing.B) {
	for _, name := range []string{"digits", "digits-lite"} {
		b.Run(name, func(b *testing.B) {
			model, err := digits.Open(name)
			if err != nil {
				b.Fatal(err)
			}
			pixels, scores := make([]float32, digits.Pixels), make([]float32, digits.Classes)
			for i := range pixels {
				pixels[i] = float32(i % (digits.MaxInk + 1))
			}
			for b.Loop() {
				digits.Classify(model, scores, pixels)
			}
		})
	}
}
