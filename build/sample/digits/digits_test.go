package digits_test

import (
	"testing"

	"holdfast/build/sample/digits"
)

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
