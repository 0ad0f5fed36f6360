package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"holdfast/edge"
	"holdfast/edge/host"
	"holdfast/runtime/containerd"
)

// wishes are what the workloads of a node ask of its network.
type wishes struct {
	networks, outward, ports bool
}

func wishesOf(status *edge.Status) (w wishes) {
	if status == nil {
		return w
	}
	for _, view := range status.Workloads {
		w.networks = w.networks || view.Workload.Connected()
		w.outward = w.outward || len(view.Workload.Outward) > 0
		w.ports = w.ports || len(view.Workload.Ports) > 0
	}
	return w
}

// examineNetworks looks for what networks and published ports need, and fails only where
// a workload asks for it.
func (d Doctor) examineNetworks(daemon daemonWord, status *edge.Status) []host.Finding {
	w := wishesOf(status)
	return []host.Finding{
		examineNetworkPlugins(w, containerd.CheckPlugins(nil)),
		examineOutward(w, errors.Join(containerd.CheckForwarding(), containerd.CheckRules()), containerd.Resolvers()),
		examineNetworkRights(w, status),
		examinePorts(daemon.relay, status, host.ListenerAt),
	}
}

// wanted turns a finding by an error: into a failure where somebody needs what is missing.
func wanted(f host.Finding, needed bool, err error) host.Finding {
	if err == nil {
		return f
	}
	detail := strings.ReplaceAll(err.Error(), "\n", "; ")
	if !needed {
		f.Detail = "no workload asks for it (" + detail + ")"
		return f
	}
	hint := edge.HintOf(err)
	if hint == "" {
		hint = "see what is missing above, as root"
	}
	return turned(f, host.LevelFail, detail, hint)
}

func examineNetworkPlugins(w wishes, err error) host.Finding {
	return wanted(found("network-plugins", "networks of apps", "the plugins bridge and host-local are there"), w.networks, err)
}

func examineOutward(w wishes, err error, resolvers []string) host.Finding {
	f := found("network-outward", "networks that lead outside", "the node forwards, and the kernel takes the rules; names are asked of "+strings.Join(resolvers, " "))
	if err == nil && len(resolvers) == 0 {
		err = edge.WithHint(errors.New("the node names no server that instances could ask for names: all are on its own loopback"),
			"name one in /etc/resolv.conf, or let instances use addresses")
		if f = wanted(f, w.outward, err); f.Level == host.LevelFail {
			f.Level = host.LevelWarn // addresses are reached all the same
		}
		return f
	}
	return wanted(f, w.outward, err)
}

// examineNetworkRights looks whether the agent that runs may do what it is asked for.
func examineNetworkRights(w wishes, status *edge.Status) host.Finding {
	f := found("network-rights", "rights of the agent", "no agent runs that could be asked")
	if status == nil {
		return f
	}
	missing, err := missingRights(status.PID)
	if err != nil {
		f.Detail = "cannot be seen: " + err.Error()
		return f
	}
	f.Detail = "it may make networks and enter those of instances"
	if len(missing) == 0 {
		return f
	}
	return wanted(f, w.networks || w.ports, edge.WithHint(fmt.Errorf("its service leaves it without %s", strings.Join(missing, " ")),
		"install /usr/share/holdfast/networks.conf as a drop-in of its unit, and restart it"))
}

// missingRights lists what a process lacks of what networks need.
func missingRights(pid int) (missing []string, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return nil, err
	}
	i := strings.Index(string(text), "\nCapEff:")
	if i < 0 {
		return nil, fs.ErrInvalid
	}
	line, _, _ := strings.Cut(string(text[i+len("\nCapEff:"):]), "\n")
	has, err := strconv.ParseUint(strings.TrimSpace(line), 16, 64)
	if err != nil {
		return nil, err
	}
	for name, number := range map[string]uint{"CAP_NET_ADMIN": unix.CAP_NET_ADMIN, "CAP_SYS_ADMIN": unix.CAP_SYS_ADMIN, "CAP_SYS_PTRACE": unix.CAP_SYS_PTRACE} {
		if has&(1<<number) == 0 {
			missing = append(missing, name)
		}
	}
	slices.Sort(missing)
	return missing, nil
}

// examinePorts looks who answers at the ports of those who run.
func examinePorts(relay int, status *edge.Status, listener func(string) (host.Listener, bool)) host.Finding {
	f := found("published-ports", "published ports", "none")
	if status == nil {
		f.Detail = "no agent runs that could say which"
		return f
	}
	answered := 0
	for _, view := range status.Workloads {
		runs := slices.ContainsFunc(view.Instances, func(i edge.InstanceView) bool { return i.Running })
		for _, port := range view.Workload.Ports {
			at, taken := listener(port.Address())
			where := port.Address() + " of " + view.Workload.Key()
			switch {
			case taken && at.PID == relay && relay != 0:
				answered++
			case taken:
				return turned(f, host.LevelFail, where+" is taken by "+holderWords(at), "end that, or publish at another port")
			case runs:
				return turned(f, host.LevelFail, "nobody listens at "+where+", which runs", "holdfast status, and journalctl -u holdfast, say why")
			}
		}
	}
	if answered > 0 {
		f.Detail = fmt.Sprintf("%d are answered by process %d", answered, relay)
	}
	return f
}
