// Command otheragent stands for another version of the agent: it is the real one, but for
// what it says of itself and what it does wrong. The linker says both.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

var (
	real    = "" // the agent itself
	version = ""
	mode    = "" // good; lying, silent, crashing in the self-test; ending, blind when it runs
)

func main() {
	args := os.Args[1:]
	if len(args) > 0 && args[0] == "selftest" {
		os.Exit(selfTest(args))
	}
	switch {
	case len(args) == 0 || args[0] != "run":
	case mode == "ending":
		fmt.Fprintln(os.Stderr, "otheragent: ends at once")
		os.Exit(1)
	case mode == "blind":
		args = append(args, "--set", "containerd.address=/run/nowhere.sock")
	}
	err := syscall.Exec(real, append([]string{real}, args...), os.Environ())
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// selfTest is the real one's, under this version's name.
func selfTest(args []string) int {
	switch mode {
	case "crashing":
		panic("a fault of this version")
	case "silent":
		select {}
	case "greedy":
		var held [][]byte
		for {
			piece := make([]byte, 8<<20)
			for i := 0; i < len(piece); i += 4096 {
				piece[i] = 1
			}
			held = append(held, piece)
			if len(held) > 512 {
				return 1
			}
		}
	}
	cmd := exec.Command(real, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	said := map[string]any{}
	if err != nil || json.Unmarshal(out, &said) != nil {
		return 1
	}
	if mode != "lying" {
		said["version"] = version
	}
	if json.NewEncoder(os.Stdout).Encode(said) != nil {
		return 1
	}
	return 0
}
