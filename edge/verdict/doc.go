// Package verdict turns what comes from topics and folders into requests to models, and what became
// of them into one JSON object. It is pure.
//
// # Promise
//
// What is a request of the Open Inference Protocol stays as it is; anything else becomes the
// value of the model's one input, or is refused with what is wrong. Nothing is guessed.
package verdict
