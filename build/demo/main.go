// Command demo shows holdfast at work on this machine: a private containerd, the
// real agent, a real model in real containers, and real handwriting as input.
// It ends by itself with -once; otherwise it stays up until Ctrl-C. Either way it
// takes down everything it started.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"holdfast/build/stand"
	"holdfast/edge"
	"holdfast/edge/localapi"
)

func main() {
	var o options
	flag.BoolVar(&o.once, "once", false, "end after the demonstration")
	flag.StringVar(&o.dir, "dir", ".run", "folder of the demonstration's state")
	flag.StringVar(&o.binary, "binary", "dist/holdfast", "the agent")
	flag.StringVar(&o.image, "image", "dist/images/digits.oci.tar", "the sample model's image")
	flag.StringVar(&o.broker, "broker", "127.0.0.1:7483", "loopback address of the fleet's broker")
	flag.StringVar(&o.listen, "listen", "127.0.0.1:7433", "loopback address of the agent's API")
	flag.BoolVar(&o.clean, "clean", false, "only take down what an interrupted demonstration left")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	interrupted := ctx.Err() != nil
	stop()
	switch {
	case interrupted && o.once:
		fmt.Fprintln(os.Stderr, "interrupted; everything that was started has been taken down")
		os.Exit(130)
	case err != nil && !interrupted:
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		if hint := edge.HintOf(err); hint != "" {
			fmt.Fprintf(os.Stderr, "  hint: %s\n", hint)
		}
		os.Exit(1)
	}
}

type options struct {
	once   bool
	clean  bool
	dir    string
	binary string
	image  string
	listen string
	broker string
}

// show is the demonstration while it runs.
type show struct {
	options options
	fleet   *fleet
	stand   *stand.Stand
	client  *localapi.Client
	samples []sample
}

// run plays the acts in order on a stand of its own.
func run(ctx context.Context, o options) (err error) {
	if o.clean {
		return stand.Clean(o.dir)
	}
	samples, err := readSamples("testdata/digits/heldout.csv")
	if err != nil {
		return err
	}
	if err := free(o.listen, "-listen", o.broker, "-broker"); err != nil {
		return err
	}
	waiting := time.AfterFunc(2*time.Second, func() {
		fmt.Fprintf(os.Stderr, "another demonstration holds %s; waiting for its end (or give this one its own -dir, -listen and -broker)\n", o.dir)
	})
	node, err := stand.Start(ctx, stand.Options{Dir: o.dir, Binary: o.binary, Listen: o.listen})
	waiting.Stop()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.Close()) }()
	f, err := newFleet(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	node.Configure(f.settings()...)
	s := &show{options: o, fleet: f, stand: node, client: node.Client(), samples: samples}
	for _, act := range []struct {
		title string
		play  func(context.Context) error
	}{
		{"A node comes up", s.comeUp},
		{"Real handwriting, answered by deadline", s.answerTen},
		{"How often the models are right", s.measureAccuracy},
		{"More than the node can do", s.overload},
		{"The agent is killed in the middle of a stream", s.kill},
		{"The node finds its fleet", s.meetFleet},
		{"A policy and a command over MQTT", s.governFromAfar},
		{"The cable is pulled", s.cutOff},
		{"The way to a larger server is cut in the middle of a stream", s.loseUpstream},
	} {
		fmt.Printf("\n== %s\n", act.title)
		if err := act.play(ctx); err != nil {
			return fmt.Errorf("%s: %w", act.title, err)
		}
	}
	if o.once {
		return nil
	}
	s.invite()
	<-ctx.Done()
	fmt.Println("\ntaking everything down")
	return nil
}

// free tells whether the addresses can be listened on; each is followed by its flag.
func free(addresses ...string) error {
	for i := 0; i < len(addresses); i += 2 {
		listener, err := net.Listen("tcp", addresses[i])
		if err != nil {
			return edge.WithHint(fmt.Errorf("cannot use %s: %w", addresses[i], err), "give another address with "+addresses[i+1])
		}
		if err := listener.Close(); err != nil {
			return err
		}
	}
	return nil
}

// comeUp starts the agent of a node that was flashed with whom to believe, a policy
// and the image that the policy runs, and waits until the model answers.
func (s *show) comeUp(ctx context.Context) error {
	if err := s.flash(); err != nil {
		return err
	}
	fmt.Printf("the node has a root document, a factory policy and the image %s; there is no network\n", s.options.image)
	begun := time.Now()
	if err := s.stand.StartAgent(ctx); err != nil {
		return err
	}
	fmt.Printf("agent answers on %s after %v\n", s.stand.Socket(), since(begun))
	if err := s.awaitModels(ctx); err != nil {
		return err
	}
	fmt.Printf("models ready %v after the agent's start\n", since(begun))
	return s.printInstances(ctx)
}

// flash puts the image where a node's own are.
func (s *show) flash() error {
	folder := filepath.Join(s.stand.StateFolder(), "images")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	return os.Link(s.options.image, filepath.Join(folder, "digits.oci.tar"))
}

// awaitModels waits for all instances; a model that does not come up in half a
// minute is not going to.
func (s *show) awaitModels(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return s.stand.AwaitInstances(ctx)
}

func (s *show) printInstances(ctx context.Context) error {
	workloads, err := s.client.Workloads(ctx)
	if err != nil {
		return err
	}
	for _, w := range workloads {
		for _, i := range w.Instances {
			fmt.Printf("  %s  %s  process %d  %s\n", i.ID, i.State, i.PID, i.Image)
		}
	}
	return nil
}

// invite says what can be tried while the node stays up.
func (s *show) invite() {
	holdfast := fmt.Sprintf("%s --address %s", s.options.binary, s.stand.Socket())
	fmt.Printf(`
The node stays up until Ctrl-C. It answers at http://%s and on %s. Try, in another terminal:
  %s status
  %s infer digits -f testdata/digits/3.json --deadline 80ms --class urgent
  curl -s http://%s/v2/models/digits/infer -d @testdata/digits/7.json
  %s workloads
  %s events -f
  mosquitto_sub -h 127.0.0.1 -p %s -t 'hf/#' -v
  %s fleet nodes --broker tcp://%s --site %s
  %s fleet command %s vitals --key %s --broker tcp://%s --site %s
`, s.options.listen, s.stand.Socket(), holdfast, holdfast, s.options.listen, holdfast, holdfast,
		port(s.fleet.broker), s.options.binary, s.fleet.broker, siteName,
		s.options.binary, nodeName, s.fleet.key("command-1"), s.fleet.broker, siteName)
}

func port(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

func since(t time.Time) time.Duration { return time.Since(t).Round(100 * time.Microsecond) }
