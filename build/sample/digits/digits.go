// Package digits recognises handwritten digits in two ways of honestly different
// cost: a support vector machine that is right more often, and a small perceptron
// that is some hundred times cheaper. Both were trained by build/sample/train.
//
// A picture is 64 numbers, eight rows of eight pixels from 0 (paper) to 16 (ink).
// A model gives every digit a score; the highest is its answer. The scores of the
// machine are margins, those of the perceptron probabilities.
//
// It promises the same answer for the same picture, on every architecture up to
// the last bits of a float32.
//
// # Concurrency
//
// A Model is read-only after Open; any number of goroutines may use it.
//
// # Failure
//
// Only damaged weights fail, when a model is opened. Classify cannot fail.
//
// # Testing
//
// Accuracy over the held-out samples through the real handler, in the tests of
// build/sample/server; cost in the benchmark here.
package digits

import (
	"fmt"

	"holdfast/build/sample/weights"
)

// Pixels is the length of one picture and Classes the number of scores it gets.
const (
	Pixels  = 64
	Classes = 10
)

// MaxInk is the value of a wholly black pixel.
const MaxInk = 16

// A Model scores one picture: Pixels numbers in, Classes numbers out.
type Model interface {
	Score(scores, pixels []float32)
}

// Open decodes the weights of the model with the given name, digits or
// digits-lite.
func Open(name string) (Model, error) {
	model, err := open(name)
	if err != nil {
		return nil, fmt.Errorf("cannot open model %q: %w", name, err)
	}
	return model, nil
}

// open chooses by name.
func open(name string) (Model, error) {
	switch name {
	case "digits":
		return decode(weights.Digits, newMachine)
	case "digits-lite":
		return decode(weights.DigitsLite, newPerceptron)
	}
	return nil, fmt.Errorf("there is digits and digits-lite")
}

// decode reads weights and makes a model of them.
func decode[M Model](read func() (*weights.File, error), make func(*weights.File) (M, error)) (Model, error) {
	file, err := read()
	if err != nil {
		return nil, err
	}
	return make(file)
}

// Classify scores a picture and returns the digit with the highest score.
func Classify(model Model, scores, pixels []float32) int {
	model.Score(scores, pixels)
	best := 0
	for digit, score := range scores {
		if score > scores[best] {
			best = digit
		}
	}
	return best
}

// dot is the inner product. Four sums at a time keep the multipliers busy, since
// the compiler may not reorder floating-point additions itself.
func dot(a, b []float32) float32 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float32
	i := 0
	for ; i+4 <= len(a); i += 4 {
		s0 += a[i] * b[i]
		s1 += a[i+1] * b[i+1]
		s2 += a[i+2] * b[i+2]
		s3 += a[i+3] * b[i+3]
	}
	for ; i < len(a); i++ {
		s0 += a[i] * b[i]
	}
	return (s0 + s1) + (s2 + s3)
}
