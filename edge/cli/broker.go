package cli

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/edge"
	"holdfast/mqtt"
	"holdfast/mqtt/broker"
)

// brokerFlags say how the broker is run.
type brokerFlags struct {
	listen              []string
	cert, key, clientCA string
	users               string
	anonymous           bool
	acl                 string
	operators           []string
	outside             string
	keep                string
}

// The rules of access.
const (
	aclNode  = "node"
	aclOpen  = "open"
	outAll   = "everybody"
	outNone  = "operators"
	maxQueue = 4096 // messages for one client: what 2,000 nodes leave retained
	// maxPacket carries the largest policy, and what the link to a site takes.
	maxPacket = 1<<20 + 64<<10
)

func (d *door) brokerVerb() *cobra.Command {
	var b brokerFlags
	cmd := &cobra.Command{
		Use:   "broker",
		Short: "Run an MQTT broker, for gateways that have none",
		Long: "Run an MQTT 3.1.1 broker until SIGTERM. Who may come in is said by --users, --client-ca, or\n" +
			"--anonymous. With the rules --acl node, a client may only say what the node of its name says, and\n" +
			"hear what is for that node; its name is its certificate's common name, or its user name. Those of\n" +
			"--operators may say and hear everything. Anonymous clients have no name: with --anonymous the rules\n" +
			"are open unless said otherwise.\n\n" +
			"It keeps everything in memory, but for retained messages with --keep. Without, nodes say again who\n" +
			"they are after a restart, and policies that waited for a node are gone until `fleet attend` or\n" +
			"`fleet apply` brings them again.",
		Example: "  holdfast broker --anonymous\n" +
			"  holdfast broker --listen :8883 --tls-cert b.pem --tls-key b.key --client-ca ca.pem --operators desk",
		Args: nothing,
		RunE: func(cmd *cobra.Command, _ []string) error { return d.runBroker(cmd.Context(), b) },
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&b.listen, "listen", []string{"127.0.0.1:1883"}, "addresses to listen on, host:port")
	flags.StringVar(&b.cert, "tls-cert", "", "the broker's certificate; without one it speaks plainly")
	flags.StringVar(&b.key, "tls-key", "", "the key of the certificate")
	flags.StringVar(&b.clientCA, "client-ca", "", "certificate of who signs those of clients; then nobody comes in without one")
	flags.StringVar(&b.users, "users", "", "file of users and passwords, as 'holdfast broker password' and mosquitto_passwd write it")
	flags.BoolVar(&b.anonymous, "anonymous", false, "let in everybody who gives no user name")
	flags.StringVar(&b.acl, "acl", "", "rules of access: node or open (default: node, with --anonymous open)")
	flags.StringSliceVar(&b.operators, "operators", nil, "names that may say and hear everything")
	flags.StringVar(&b.outside, "outside", outNone, "who may use topics outside hf/: operators or everybody who is in")
	flags.StringVar(&b.keep, "keep", "", "folder in which retained messages, policies among them, outlive a restart")
	cmd.AddCommand(d.brokerPasswordVerb())
	return cmd
}

func (b brokerFlags) options() (broker.Options, error) {
	if b.acl == "" {
		b.acl = aclNode
		if b.anonymous {
			b.acl = aclOpen
		}
	}
	if b.acl != aclNode && b.acl != aclOpen || b.outside != outNone && b.outside != outAll {
		return broker.Options{}, usagef("--acl must be node or open, and --outside operators or everybody")
	}
	o := broker.Options{Users: b.users, Anonymous: b.anonymous, Keep: b.keep, MaxQueue: maxQueue, MaxPacket: maxPacket}
	for _, address := range b.listen {
		o.Listen = append(o.Listen, broker.Listener{Address: address, TLS: broker.TLS{Certificate: b.cert, Key: b.key, ClientCA: b.clientCA}})
	}
	if b.acl == aclNode {
		o.Access = brokerAccess(b.operators, b.outside == outAll)
	}
	return o, nil
}

// brokerAccess lets each node speak for itself only. Reading is asked for filters, when
// a client subscribes, and for the topics of messages.
func brokerAccess(operators []string, outside bool) func(c broker.Client, topic string, write bool) bool {
	return func(c broker.Client, topic string, write bool) bool {
		name := cmp.Or(c.CommonName, c.User)
		if name != "" && slices.Contains(operators, name) {
			return true
		}
		first, _, _ := strings.Cut(topic, "/")
		switch {
		case first == "hf" && write:
			t, err := mqtt.ParseTopic(topic)
			return err == nil && mqtt.IsNode(name) && t.Node == name && strings.HasPrefix(string(t.Kind), "up/")
		case first == "hf":
			return mqtt.IsNode(name) && nodeMayRead(strings.Split(topic, "/"), name)
		}
		return outside && !strings.ContainsAny(first, "+#$") // those would reach the fleet's, and the broker's own
	}
}

// nodeMayRead: all that is for the node, its own presence, and commands of groups,
// which are signed and say whom they are for.
func nodeMayRead(levels []string, name string) bool {
	if len(levels) != 6 || levels[1] != "v1" {
		return false
	}
	switch levels[3] {
	case name:
		return levels[4] == "down" || levels[4] == "up" && levels[5] == "presence"
	case "group":
		return edge.IsName(levels[4]) && levels[5] == "command"
	}
	return false
}

func (d *door) runBroker(ctx context.Context, flags brokerFlags) error {
	o, err := flags.options()
	if err != nil {
		return err
	}
	journal := isJournal(d.Stderr, d.Getenv("JOURNAL_STREAM"))
	lines := newLogWriter(d.Stderr, journal)
	o.Log = newLogger(lines, "text", slog.LevelInfo, journal)
	return errors.Join(serveBroker(ctx, o), lines.Close())
}

func serveBroker(ctx context.Context, o broker.Options) error {
	b, err := broker.New(o)
	if err != nil {
		return edge.WithHint(err, "name --users FILE, --client-ca FILE, or --anonymous")
	}
	if err := b.Open(); err != nil {
		return err
	}
	for _, address := range b.Addresses() {
		o.Log.Info("broker listens", "address", address.String())
	}
	return errors.Join(b.Run(ctx), b.Close())
}

func (d *door) brokerPasswordVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "password USER",
		Short: "Print a user's line for --users; the password is the first line of standard input",
		Args:  exactly(1, "a user name"),
		RunE: func(_ *cobra.Command, args []string) error {
			line, err := bufio.NewReader(io.LimitReader(d.Stdin, maxPasswordFile)).ReadString('\n')
			if err != nil && !errors.Is(err, io.EOF) {
				return fmt.Errorf("cannot read password: %w", err)
			}
			password := strings.TrimRight(line, "\r\n")
			if password == "" {
				return usagef("the password is empty; give it on standard input")
			}
			entry, err := broker.HashPassword(args[0], password)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(d.Stdout, entry)
			return err
		},
	}
}
