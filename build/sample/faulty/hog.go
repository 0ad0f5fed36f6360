package main

import (
	"context"
	goruntime "runtime"
	"sync"
)

// hog takes memory and CPU that nobody asked it to, until ctx ends.
func (f faults) hog(ctx context.Context) {
	var busy sync.WaitGroup
	for range f.spin {
		busy.Go(func() {
			for ctx.Err() == nil {
			}
		})
	}
	var kept [][]byte
	for f.hoard && ctx.Err() == nil {
		const bite = 1 << 20
		piece := make([]byte, bite)
		for i := 0; i < bite; i += 4096 {
			piece[i] = 1 // what is not written to is not there
		}
		kept = append(kept, piece)
	}
	busy.Wait()
	goruntime.KeepAlive(kept)
}
