package host

import (
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// checkPort looks whether somebody else listens where the agent is to. It binds nothing.
func checkPort(o CheckOptions, port Port) Finding {
	host, number, err := net.SplitHostPort(port.Address)
	n, numberErr := strconv.ParseUint(number, 10, 16)
	if err != nil || numberErr != nil {
		return finding(port.Code, LevelFail, port.Address, "is no address", "write it as 127.0.0.1:7433")
	}
	if n == 0 {
		return finding(port.Code, LevelOK, port.Address, "is any port that is free", "")
	}
	inode := o.listener(net.ParseIP(host), uint16(n))
	if inode == "" {
		if port.Owner != 0 {
			return finding(port.Code, LevelWarn, port.Address, "the agent runs, and does not listen there", "restart the agent, which reads this key when it starts")
		}
		return finding(port.Code, LevelOK, port.Address, "is free", "")
	}
	owner, name := o.owner(inode)
	if owner == port.Owner && owner != 0 {
		return finding(port.Code, LevelOK, port.Address, "is the agent's", "")
	}
	who := "a process that cannot be seen from here"
	if owner != 0 {
		who = fmt.Sprintf("process %d (%s)", owner, name)
	}
	return finding(port.Code, LevelFail, port.Address, who+" listens there", "end it, or choose another port in the configuration")
}

// listening is the state of a socket that waits for connections.
const listening = "0A"

// listener finds the socket that listens on a port, at an address or at all of them.
func (o CheckOptions) listener(address net.IP, port uint16) (inode string) {
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(o.Root + "/proc/net/" + table)
		if err != nil {
			continue
		}
		for entry := range strings.Lines(string(text)) {
			fields := strings.Fields(entry)
			if len(fields) < 10 || fields[3] != listening {
				continue
			}
			at, number, _ := strings.Cut(fields[1], ":")
			if n, err := strconv.ParseUint(number, 16, 16); err != nil || n != uint64(port) {
				continue
			}
			if ip := kernelIP(at); ip.IsUnspecified() || address == nil || address.IsUnspecified() || ip.Equal(address) {
				return fields[9]
			}
		}
	}
	return ""
}

// kernelIP reads an address as the kernel prints it: words of 32 bits, each with its
// lowest byte first on every processor this program is built for.
func kernelIP(text string) net.IP {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw)%4 != 0 {
		return net.IP{}
	}
	for i := 0; i < len(raw); i += 4 {
		raw[i], raw[i+1], raw[i+2], raw[i+3] = raw[i+3], raw[i+2], raw[i+1], raw[i]
	}
	return net.IP(raw)
}

// owner finds the process that has a socket.
func (o CheckOptions) owner(inode string) (pid int, name string) {
	links, _ := filepath.Glob(o.Root + "/proc/[0-9]*/fd/*") // the pattern is well formed
	for _, link := range links {
		if to, err := os.Readlink(link); err != nil || to != "socket:["+inode+"]" {
			continue
		}
		folder := filepath.Dir(filepath.Dir(link))
		if pid, err := strconv.Atoi(filepath.Base(folder)); err == nil {
			name, _ := line(folder + "/comm") // it may be gone by now
			return pid, name
		}
	}
	return 0, ""
}
