package digits

import (
	"fmt"
	"math"
	"strconv"

	"holdfast/build/sample/weights"
)

// machine is ten support vector machines with a Gaussian kernel, each digit
// against the rest, over one common set of support vectors:
//
//	score(d) = b(d) + Σ a(v,d) · exp(−γ·|x − v|²)
type machine struct {
	gamma        float64
	vectors      []float32 // one row of Pixels for each support vector
	norms        []float32 // |v|² of each
	coefficients []float32 // one row of Classes for each support vector
	intercepts   []float32
}

var _ Model = (*machine)(nil)

// newMachine takes what the weights file holds.
func newMachine(file *weights.File) (*machine, error) {
	gamma, err := strconv.ParseFloat(file.Metadata["gamma"], 64)
	if err != nil {
		return nil, fmt.Errorf("cannot read gamma: %w", err)
	}
	m := &machine{gamma: gamma}
	if m.vectors, err = file.Float32s("vectors", -1, Pixels); err != nil {
		return nil, err
	}
	count := len(m.vectors) / Pixels
	if m.coefficients, err = file.Float32s("coefficients", count, Classes); err != nil {
		return nil, err
	}
	if m.intercepts, err = file.Float32s("intercepts", Classes); err != nil {
		return nil, err
	}
	m.norms = make([]float32, count)
	for i := range m.norms {
		m.norms[i] = dot(m.vector(i), m.vector(i))
	}
	return m, nil
}

// vector is the i-th support vector.
func (m *machine) vector(i int) []float32 { return m.vectors[i*Pixels : (i+1)*Pixels] }

// Score compares the picture with every support vector. The sums are kept in
// float64: their thousands of terms nearly cancel.
func (m *machine) Score(scores, pixels []float32) {
	var sums [Classes]float64
	norm := dot(pixels, pixels)
	for i, other := range m.norms {
		distance := norm + other - 2*dot(pixels, m.vector(i))
		alike := math.Exp(-m.gamma * float64(distance))
		for digit, coefficient := range m.coefficients[i*Classes : (i+1)*Classes] {
			sums[digit] += float64(coefficient) * alike
		}
	}
	for digit := range scores {
		scores[digit] = m.intercepts[digit] + float32(sums[digit])
	}
}
