// Sleeper is the program of the tests' containers: it waits to be killed.
package main

import (
	"os"
	"os/signal"
)

func main() {
	told := make(chan os.Signal, 1)
	signal.Notify(told, os.Interrupt)
	<-told
}
