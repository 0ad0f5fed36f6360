// Command agent stands in for holdfast where a release is put together: it says its version.
package main

import (
	"fmt"
	"runtime"
)

var version = "" // set by the linker

func main() {
	fmt.Printf("{\"version\": %q, \"platform\": %q}\n", version, runtime.GOOS+"/"+runtime.GOARCH)
}
