package containerd

import (
	"bytes"
	"context"
	"io"
)

// Native turns an error of the daemon into one of ours.
var Native = native

// LayerFiles looks paths up in layers, the lowest first, of which left bytes may be
// read.
func LayerFiles(ctx context.Context, blobs [][]byte, left int64, paths ...string) ([][]byte, error) {
	l := &layers{count: len(blobs), left: left, open: func(number int) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(blobs[number])), nil
	}}
	return l.files(ctx, paths...)
}

// MaxSmallFile is how large a file may be that is read from layers.
const MaxSmallFile = maxSmallFile
