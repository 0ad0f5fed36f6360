package cli

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/edge"
	"holdfast/edge/fleet"
	"holdfast/edge/fleet/desk"
	"holdfast/mqtt"
)

func (d *door) fleetVerb() *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "fleet",
		Short: "See, command and attend nodes over an MQTT broker",
		Long: "See, command and attend nodes over an MQTT broker. These verbs run at the operator's desk and\n" +
			"need nothing but the broker: what it remembers is the list of nodes.",
	})
	f := d.fleetLink(cmd)
	cmd.AddCommand(
		d.fleetNodesVerb(f), d.fleetApplyVerb(f), d.fleetCommandVerb(f), d.fleetCosignVerb(), d.fleetSendVerb(f),
		d.fleetWatchVerb(f), d.fleetAttendVerb(f), d.fleetForgetVerb(f),
	)
	return cmd
}

// fleetLink are the flags by which every verb of the desk finds its broker.
type fleetLink struct {
	door                *door
	broker, site        string
	user, passwordFile  string
	ca, cert, key, name string
	quiet               time.Duration
	keep                string
}

// fleetLink adds the flags to the verb that holds the others.
func (d *door) fleetLink(cmd *cobra.Command) *fleetLink {
	f := &fleetLink{door: d}
	flags := cmd.PersistentFlags()
	for _, flag := range []struct {
		into           *string
		name, or, what string
	}{
		{&f.broker, "broker", "tcp://127.0.0.1:1883", "the broker, tcp://HOST[:PORT] or tls://HOST[:PORT]"},
		{&f.site, "site", "default", "the site whose nodes are meant"},
		{&f.user, "user", "", "user name at the broker"},
		{&f.passwordFile, "password-file", "", "file with the user's password"},
		{&f.ca, "ca", "", "certificate of who signs the broker's (default: the system's)"},
		{&f.cert, "cert", "", "our certificate"},
		{&f.key, "key-file", "", "the key of our certificate"},
		{&f.name, "server-name", "", "what the broker's certificate names, if not the host"},
		{&f.keep, "keep", d.defaultKeep(), "the desk's folder, for what was signed and said, a folder within for each site"},
	} {
		env := "HOLDFAST_FLEET_" + strings.ToUpper(strings.ReplaceAll(flag.name, "-", "_"))
		or := flag.or
		if value := d.Getenv(env); value != "" {
			or = value
		}
		flags.StringVar(flag.into, flag.name, or, flag.what+" (environment: "+env+")")
	}
	flags.DurationVar(&f.quiet, "quiet", 400*time.Millisecond, "when nothing comes for so long, the broker has said all it remembers")
	return f
}

// defaultKeep is where a user's desk keeps things.
func (d *door) defaultKeep() string {
	if home := d.Getenv("XDG_DATA_HOME"); home != "" {
		return filepath.Join(home, "holdfast", "fleet")
	}
	if home := d.Getenv("HOME"); home != "" {
		return filepath.Join(home, ".local", "share", "holdfast", "fleet")
	}
	return "holdfast-fleet"
}

// maxPasswordFile is far above any password.
const maxPasswordFile = 4 << 10

func (f *fleetLink) open() (*desk.Desk, error) {
	o := desk.Options{
		Broker: f.broker, Site: f.site, Quiet: f.quiet,
		TLS: mqtt.TLS{CA: f.ca, Certificate: f.cert, Key: f.key, ServerName: f.name},
		Log: slog.New(slog.NewTextHandler(f.door.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	if f.user != "" {
		o.Credentials = func() (user, password string, err error) {
			password, err = readPassword(f.passwordFile)
			return f.user, password, err
		}
	} else if f.passwordFile != "" {
		return nil, usagef("--password-file needs --user")
	}
	table, err := desk.New(o)
	if err != nil {
		return nil, usageError{err}
	}
	return table, nil
}

// readPassword reads the first line of a file; none is no password.
func readPassword(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	info, err := os.Stat(path)
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxPasswordFile) {
		err = fmt.Errorf("no regular file of at most %d bytes: %w", maxPasswordFile, edge.ErrInvalid)
	}
	if err != nil {
		return "", fmt.Errorf("cannot read password file %q: %w", path, err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("cannot read password: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimSuffix(line, "\r"), nil
}

// folder is the part of the desk's folder that is the site's: what is meant for the nodes
// of one site must not reach those of another.
func (f *fleetLink) folder() (*desk.Folder, error) {
	if !edge.IsName(f.site) {
		return nil, usagef("cannot use site %.80q: it is no name", f.site)
	}
	return desk.OpenFolder(filepath.Join(f.keep, f.site))
}

// privateKeys reads the keys to sign with.
func privateKeys(files []string) ([]ed25519.PrivateKey, error) {
	var keys []ed25519.PrivateKey
	for _, file := range files {
		key, err := fleet.ReadPrivateKey(file)
		if err != nil {
			return nil, noFile(err, "name a private key, such as holdfast policy init or keygen wrote")
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func (d *door) fleetNodesVerb(f *fleetLink) *cobra.Command {
	return &cobra.Command{
		Use:   "nodes",
		Short: "List the nodes of the site, by what the broker remembers of them",
		Long: "List the nodes of the site, by what the broker remembers of them: their presence and the whole\n" +
			"state they reported last, which is at most a minute old. A connection is online, offline, or late:\n" +
			"then the broker says that the node is gone, but the node has spoken since.",
		Args: nothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			table, err := f.open()
			if err != nil {
				return err
			}
			census, err := table.Nodes(cmd.Context())
			if errors.Is(err, context.Canceled) {
				return coded{ExitInterrupted, errors.New("interrupted: the broker has not said all it remembers")}
			}
			if err != nil {
				return err
			}
			if len(census.Nodes) == 0 {
				fmt.Fprintf(d.Stderr, "no node of site %q has ever connected to broker %q\n", f.site, f.broker)
			}
			return d.show(census, func(p printer) error { return printCensus(p, census) })
		},
	}
}

func printCensus(p printer, census desk.Census) error {
	var rows [][]string
	for _, n := range census.Nodes {
		ready, known := n.Models()
		warnings, since := "", ""
		if n.Reported != nil {
			warnings = fmt.Sprint(len(n.Reported.Warnings))
		}
		if at := n.Presence.Since; at != nil {
			since = at.UTC().Format(time.RFC3339)
		}
		rows = append(rows, []string{
			n.Name, string(n.Connection), n.Presence.Version, n.Presence.Role, strings.Join(n.Presence.Groups, " "),
			n.Policy(), fmt.Sprintf("%d/%d", ready, known), warnings, fmt.Sprint(n.Backlog()), since,
		})
	}
	if err := p.Table([]string{"NODE", "IS", "VERSION", "ROLE", "GROUPS", "POLICY", "MODELS", "WARNINGS", "BACKLOG", "SINCE"}, rows); err != nil {
		return err
	}
	if census.Strange > 0 {
		fmt.Fprintf(p.out, "%d messages could not be read\n", census.Strange)
	}
	return nil
}

func (d *door) fleetWatchVerb(f *fleetLink) *cobra.Command {
	var node string
	var kinds []string
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Show what nodes say, as they say it, until interrupted",
		Args:  nothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			chosen, err := upKinds(kinds)
			if err != nil {
				return err
			}
			if node != "" && !mqtt.IsNode(node) {
				return usagef("%q is no name of a node", node)
			}
			table, err := f.open()
			if err != nil {
				return err
			}
			return table.Watch(cmd.Context(), node, chosen, d.printSaid)
		},
	}
	cmd.Flags().StringVar(&node, "node", "", "only this node")
	cmd.Flags().StringSliceVar(&kinds, "kind", nil, "only presence, hello, state, delta, event or reply; may be repeated")
	return cmd
}

func upKinds(names []string) ([]mqtt.Kind, error) {
	var chosen []mqtt.Kind
	for _, name := range names {
		found := false
		for _, kind := range desk.UpKinds() {
			if strings.TrimPrefix(string(kind), "up/") == name {
				chosen, found = append(chosen, kind), true
			}
		}
		if !found {
			return nil, usagef("unknown kind %q: must be presence, hello, state, delta, event or reply", name)
		}
	}
	return chosen, nil
}

func (d *door) fleetAttendVerb(f *fleetLink) *cobra.Command {
	var freshness, root string
	var once bool
	cmd := &cobra.Command{
		Use:   "attend --freshness KEY",
		Short: "Stand by for the fleet: keep its history, answer its nodes, bring them what they lack",
		Long: "Stand by for the fleet until SIGTERM. Every envelope of every node of the site goes into the desk's\n" +
			"folder, SITE/history/NODE/EPOCH.jsonl; once it is on the disk the node is told so and lets it go. A node\n" +
			"that comes back gets a signed token that says which policy and root document are the newest for it,\n" +
			"those documents if it lacks them, and the commands it has not taken. They come from the desk's\n" +
			"folder, where `fleet apply`, `fleet command` and `fleet send` put them. With --root only policies\n" +
			"that nodes believe are brought. One attendance per site and folder.",
		Args: nothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if freshness == "" {
				return edge.WithHint(usagef("cannot attend: no --freshness is given"), "name the private key of the role freshness, such as keys/freshness-1.key")
			}
			return d.attend(cmd.Context(), f, freshness, root, once)
		},
	}
	cmd.Flags().StringVar(&freshness, "freshness", "", "private key of the role freshness")
	cmd.Flags().StringVar(&root, "root", "", "the fleet's signed root document")
	cmd.Flags().BoolVar(&once, "once", false, "greet who is there, take what comes, and end when nothing has come for 5 s")
	return cmd
}

func (d *door) attend(ctx context.Context, f *fleetLink, freshness, rootPath string, once bool) error {
	key, err := fleet.ReadPrivateKey(freshness)
	if err != nil {
		return noFile(err, "name the private key of the role freshness, such as keys/freshness-1.key")
	}
	a := desk.Attendance{Freshness: key, Once: once, Tell: d.printDeed}
	if a.Root, err = readFleetRoot(rootPath); err != nil {
		return err
	}
	if a.Root != nil {
		if err := desk.CheckFreshness(a.Root, key); err != nil {
			return err
		}
	}
	table, err := f.open()
	if err != nil {
		return err
	}
	if a.Folder, err = f.folder(); err != nil {
		return err
	}
	return table.Attend(ctx, a)
}
