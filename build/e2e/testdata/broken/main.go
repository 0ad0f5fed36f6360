// Command broken is a version of the agent that is none. What it does wrong is the last
// word of its own file: crash, hang, or ready-crash.
package main

import (
	"bytes"
	"net"
	"os"
)

func main() {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		os.Exit(3)
	}
	switch words := bytes.Fields(self[len(self)-64:]); string(words[len(words)-1]) {
	case "crash":
		os.Exit(2)
	case "hang":
		say("STATUS=hanging") // for a service manager that does not want to wait for a minute and a half
		select {}
	case "ready-crash":
		say("READY=1")
		os.Exit(2)
	}
	os.Exit(4)
}

func say(state string) {
	conn, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
	if err != nil {
		os.Exit(5)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(state)); err != nil {
		os.Exit(6)
	}
}
