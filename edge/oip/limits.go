package oip

// Bounds on what a request or an answer may ask of its reader. They lie well
// above what models use and keep a hostile body from costing more than its own
// length.
const (
	maxDepth      = 32  // nested arrays and objects; a tensor needs its rank and three more
	maxTensors    = 128 // inputs, and outputs, of one request
	maxRank       = 16  // dimensions of one tensor
	maxParameters = 64  // entries of one parameters object
)
