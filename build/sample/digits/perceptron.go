package digits

import (
	"math"

	"holdfast/build/sample/weights"
)

// perceptron is one hidden layer of rectified units and a softmax over the digits.
type perceptron struct {
	hidden layer
	output layer
}

// layer is a dense layer; each output has one row of weights.
type layer struct {
	weight []float32
	bias   []float32
}

var _ Model = (*perceptron)(nil)

// newPerceptron takes what the weights file holds.
func newPerceptron(file *weights.File) (*perceptron, error) {
	hidden, err := newLayer(file, "hidden", -1, Pixels)
	if err != nil {
		return nil, err
	}
	output, err := newLayer(file, "output", Classes, len(hidden.bias))
	if err != nil {
		return nil, err
	}
	for i := range hidden.weight {
		hidden.weight[i] /= MaxInk // trained on pixels scaled to 0..1; 16 is a power of two, so nothing is rounded
	}
	return &perceptron{hidden: hidden, output: output}, nil
}

// newLayer reads the weights and biases under a name.
func newLayer(file *weights.File, name string, outputs, inputs int) (layer, error) {
	weight, err := file.Float32s(name+".weight", outputs, inputs)
	if err != nil {
		return layer{}, err
	}
	bias, err := file.Float32s(name+".bias", len(weight)/inputs)
	return layer{weight: weight, bias: bias}, err
}

// apply computes the layer's sums.
func (l layer) apply(out, in []float32) {
	for i := range out {
		out[i] = l.bias[i] + dot(in, l.weight[i*len(in):(i+1)*len(in)])
	}
}

// Score runs the two layers.
func (p *perceptron) Score(scores, pixels []float32) {
	hidden := make([]float32, len(p.hidden.bias))
	p.hidden.apply(hidden, pixels)
	for i, sum := range hidden {
		hidden[i] = max(sum, 0)
	}
	p.output.apply(scores, hidden)
	softmax(scores)
}

// softmax turns sums into probabilities.
func softmax(values []float32) {
	top := values[0]
	for _, v := range values {
		top = max(top, v)
	}
	var total float32
	for i, v := range values {
		values[i] = float32(math.Exp(float64(v - top)))
		total += values[i]
	}
	for i := range values {
		values[i] /= total
	}
}
