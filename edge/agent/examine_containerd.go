package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"holdfast/edge"
	"holdfast/edge/host"
	"holdfast/runtime/containerd"
	"holdfast/runtime/containerd/salvage"
)

// daemonWord is the first word there is from containerd.
type daemonWord struct {
	edge.DaemonReport
	program string // the file it runs from; empty when that cannot be known
	plugins []containerd.Plugin
	relay   int // the process that answers at published ports; 0: there is none
	err     error
}

func (d Doctor) askDaemon(ctx context.Context) (word daemonWord) {
	c := d.Config
	driver, err := containerd.New(containerd.Options{
		Address: c.Containerd.Address, Namespace: c.Containerd.Namespace,
		StateDir: c.Paths.State, RunDir: c.Paths.Run,
	})
	if err != nil {
		word.err = err
		return word
	}
	asking, cancel := context.WithTimeout(ctx, examineWithin)
	defer cancel()
	word.Error = fmt.Sprintf("no answer at %s within %v", c.Containerd.Address, examineWithin)
	word.err = driver.Watch(asking, func(first edge.DaemonReport) {
		word.DaemonReport = first
		cancel()
	})
	if word.Connected {
		plugins, cancel := context.WithTimeout(ctx, examineWithin)
		defer cancel()
		// Without the list the findings about plugins say that there is none.
		word.plugins, _ = driver.Plugins(plugins)
		word.program = programBehind(c.Containerd.Address)
	}
	word.relay = driver.Relay()
	word.err = errors.Join(word.err, driver.Close())
	return word
}

// programBehind names the file that whoever listens on a socket runs from.
func programBehind(socket string) string {
	conn, err := net.DialTimeout("unix", socket, time.Second)
	if err != nil {
		return ""
	}
	defer conn.Close()
	end, ok := conn.(*net.UnixConn)
	if !ok {
		return ""
	}
	holder, err := peer(end)
	if err != nil {
		return ""
	}
	program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", holder.Pid))
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(program, " (deleted)")
}

func (d Doctor) examineDaemon(word daemonWord) []host.Finding {
	finding := host.Finding{Code: "containerd", Level: host.LevelFail, Subject: "containerd at " + d.Config.Containerd.Address}
	if !word.Connected {
		finding.Detail = "does not answer: " + word.Error
		if word.err != nil {
			finding.Detail = word.err.Error()
		}
		finding.Remedy = "start it (systemctl start containerd), or name its socket with containerd.address"
		return []host.Finding{finding}
	}
	finding.Level, finding.Detail = host.LevelOK, "answers as version "+word.Version
	if older(word.Version) {
		finding = turned(finding, host.LevelWarn, "answers as version "+word.Version+", which is older than 1.6", "install containerd 1.6 or newer")
	}
	return []host.Finding{finding, examinePlugins(word)}
}

// older tells whether a version of containerd is one that was never tried.
func older(version string) bool {
	var major, minor int
	n, _ := fmt.Sscanf(strings.TrimPrefix(version, "v"), "%d.%d", &major, &minor)
	return n == 2 && (major < 1 || major == 1 && minor < 6)
}

// examinePlugins looks for what the agent uses of a containerd.
func examinePlugins(word daemonWord) host.Finding {
	f := found("containerd-plugins", "plugins of containerd", "")
	if len(word.plugins) == 0 {
		return turned(f, host.LevelWarn, "containerd does not list them", "restart containerd (systemctl restart containerd)")
	}
	for _, needed := range []struct{ kind, id string }{
		{"io.containerd.content.v1", "content"},
		{"io.containerd.snapshotter.v1", "overlayfs"},
		{"io.containerd.runtime.v2", "task"},
		{"io.containerd.gc.v1", "scheduler"},
	} {
		plugin, there := findPlugin(word.plugins, needed.kind, needed.id)
		name := needed.kind + "." + needed.id
		switch {
		case !there:
			return turned(f, host.LevelFail, name+" is not there", "take it out of disabled_plugins in "+salvage.DefaultConfig+" and restart containerd")
		case plugin.Error != "":
			return turned(f, host.LevelFail, name+" does not work: "+plugin.Error, "see journalctl -u containerd; restart containerd once that is mended")
		}
	}
	if _, there := findPlugin(word.plugins, "io.containerd.internal.v1", "restart"); there {
		f.Detail = fmt.Sprintf("%d, with all that are needed (its restart monitor is on, and leaves alone what the agent starts)", len(word.plugins))
		return f
	}
	f.Detail = fmt.Sprintf("%d, with all that are needed", len(word.plugins))
	return f
}

func findPlugin(list []containerd.Plugin, kind, id string) (containerd.Plugin, bool) {
	for _, p := range list {
		if p.Type == kind && p.ID == id {
			return p, true
		}
	}
	return containerd.Plugin{}, false
}

// place is where our containerd keeps what it has.
func (d Doctor) place() (salvage.Place, error) {
	config := cmp.Or(d.ContainerdConfig, salvage.DefaultConfig)
	place, err := salvage.Locate(config)
	if err != nil {
		return place, err
	}
	if filepath.Clean(place.Address) != filepath.Clean(d.Config.Containerd.Address) {
		return place, fmt.Errorf("%w: %s is of the one at %s", errNobodyKnows, config, place.Address)
	}
	return place, nil
}

func (d Doctor) salvage() (salvage.Options, error) {
	place, err := d.place()
	if err != nil {
		return salvage.Options{}, err
	}
	c := d.Config
	return salvage.Options{
		Place: place, Namespace: c.Containerd.Namespace, RunDir: c.Paths.Run, CgroupParent: c.Containerd.CgroupParent,
		Wanted: d.wanted(), Stamp: time.Now().UTC().Format("20060102T150405Z"),
		Child: func(ctx context.Context) *exec.Cmd {
			cmd := exec.CommandContext(ctx, "/proc/self/exe", CheckVerb, kindContainerd)
			cmd.Env = []string{}
			return cmd
		},
	}, nil
}

// examineMetadata looks at containerd's own records while containerd does not.
func (d Doctor) examineMetadata(ctx context.Context, daemon daemonWord) host.Finding {
	f := found("containerd-metadata", "metadata of containerd", "is open in containerd, which answers")
	if daemon.Connected {
		return f
	}
	options, err := d.salvage()
	if err != nil {
		return turned(f, host.LevelWarn, err.Error(), "name its configuration: holdfast doctor --containerd-config FILE")
	}
	f.Subject = "metadata of containerd below " + options.Root
	is, err := salvage.Examine(ctx, options)
	switch {
	case err != nil:
		return turned(f, host.LevelWarn, err.Error(), "run holdfast doctor again, as root, when the node is less busy")
	case is.State.Broken():
		return turned(f, host.LevelFail, fmt.Sprintf("%s is %s: %s", is.File, brokenWord(is.State), is.Why),
			"systemctl stop containerd; holdfast doctor --repair; systemctl start containerd")
	case is.State == salvage.Unchecked:
		return turned(f, host.LevelWarn, is.Why, "run holdfast doctor as root")
	case is.State == salvage.Held:
		return turned(f, host.LevelWarn, "is open in a process that does not answer as containerd", "restart containerd (systemctl restart containerd)")
	case is.State == salvage.Absent:
		f.Detail = "is not there yet: containerd makes it when it starts"
	default:
		f.Detail = "is whole, and agrees with what is on disk"
	}
	return f
}

func brokenWord(state salvage.State) string {
	if state == salvage.Damaged {
		return "damaged"
	}
	return "not what is on disk"
}
