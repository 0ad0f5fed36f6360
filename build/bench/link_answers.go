package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"holdfast/edge"
	"holdfast/edge/fleet"
	"holdfast/edge/fleet/desk"
	"holdfast/mqtt"
)

// How many commands and policies one run sends.
const (
	commandRounds = 30
	policyAnswers = 5
)

// betweenReports is longer than the trial of a policy and the report of its end: a node
// reports changes once a second, and the first after a while at once.
const betweenReports = 3500 * time.Millisecond

// answers takes how long a fleet waits for its node: from publishing a command until its
// last reply is here, and from publishing a policy until the node reports it in force.
// Both are on the node's flash by then.
func (l *linked) answers(ctx context.Context) (err error) {
	ear, err := l.listen(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ear.close()) }()
	if err := l.commands(ctx, ear); err != nil {
		return err
	}
	return l.policies(ctx, ear)
}

func (l *linked) commands(ctx context.Context, ear *ear) error {
	folder, err := desk.OpenFolder(filepath.Join(l.dir, "commands"))
	if err != nil {
		return err
	}
	key, err := fleet.ReadPrivateKey(l.key("command-1"))
	if err != nil {
		return err
	}
	var ours, plain []time.Duration
	for range commandRounds {
		draft := desk.Draft{Verb: edge.VerbVitals, Audience: edge.Audience{Node: linkedNode}, Expires: time.Hour, MaxBoots: 1}
		envelope, _, err := folder.Sign(draft, time.Now(), key)
		if err != nil {
			return err
		}
		command, _, err := desk.OpenCommand(envelope)
		if err != nil {
			return err
		}
		took, err := ear.ask(ctx, mqtt.Message{Topic: topic(mqtt.DownCommand), Payload: envelope}, isReply(command.ID))
		if err != nil {
			return err
		}
		ours = append(ours, took)
		if took, err = ear.echo(ctx, envelope); err != nil {
			return err
		}
		plain = append(plain, took)
	}
	printAnswers("command sent to its last reply", ours, plain, "(baseline: the same bytes through the broker)")
	return nil
}

func (l *linked) policies(ctx context.Context, ear *ear) error {
	var ours, local []time.Duration
	for range policyAnswers {
		took, err := l.applyHere(ctx)
		if err != nil {
			return err
		}
		local = append(local, took)
	}
	for range policyAnswers {
		envelope, err := l.sign(ctx, tenApps)
		if err != nil {
			return err
		}
		if err := pause(ctx, betweenReports); err != nil {
			return err
		}
		took, err := ear.ask(ctx, mqtt.Message{Topic: topic(mqtt.DownPolicy), Payload: envelope, Retained: true}, isInForce(l.version))
		if err != nil {
			return err
		}
		ours = append(ours, took)
	}
	printAnswers("policy published to reported in force", ours, local, "(baseline: applied through the API)")
	return nil
}

// applyHere applies the next version through the node's own API.
func (l *linked) applyHere(ctx context.Context) (time.Duration, error) {
	envelope, err := l.sign(ctx, tenApps)
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	_, err = l.node.Client().ApplyPolicy(ctx, envelope)
	return time.Since(begun), err
}

func printAnswers(figure string, ours, plain []time.Duration, words string) {
	slices.Sort(ours)
	slices.Sort(plain)
	for _, q := range []struct {
		name string
		at   float64
	}{{"p50", 0.5}, {"p90", 0.9}} {
		mine, base := quantile(ours, q.at), quantile(plain, q.at)
		row(figure+", "+q.name, millis(mine), millis(base), float64(mine)/float64(base), words)
	}
}

func topic(kind mqtt.Kind) string {
	return mqtt.Topic{Site: linkedSite, Node: linkedNode, Kind: kind}.String()
}

// isReply looks for the last reply to a command.
func isReply(id string) func(mqtt.Delivery) (bool, error) {
	return func(d mqtt.Delivery) (bool, error) {
		if d.Topic != topic(mqtt.UpReply) {
			return false, nil
		}
		envelope, err := mqtt.DecodeEnvelope(d.Payload)
		if err != nil {
			return false, err
		}
		var reply edge.Reply
		if err := json.Unmarshal(envelope.Body, &reply); err != nil || reply.Command != id || !reply.Stage.Final() {
			return false, err
		}
		if reply.Stage != edge.StageSucceeded {
			return false, fmt.Errorf("the command %s: %s", reply.Stage, reply.Detail)
		}
		return true, nil
	}
}

// isInForce looks for a report, whole or of changes, with this version of the policy.
func isInForce(version uint64) func(mqtt.Delivery) (bool, error) {
	return func(d mqtt.Delivery) (bool, error) {
		type reported struct{ Policy struct{ Version uint64 } }
		var said struct{ State, Patch reported }
		if d.Topic != topic(mqtt.UpState) && d.Topic != topic(mqtt.UpDelta) {
			return false, nil
		}
		err := json.Unmarshal(d.Payload, &said)
		return said.State.Policy.Version == version || said.Patch.Policy.Version == version, err
	}
}

// ear is a session that hears what the node says.
type ear struct {
	session *mqtt.Session
	heard   chan mqtt.Delivery
	leave   context.CancelFunc
	ended   chan error
}

// echoTopic is heard by nobody else.
const echoTopic = "bench/echo"

func (l *linked) listen(ctx context.Context) (*ear, error) {
	// One is more than a node says between two questions.
	e := &ear{heard: make(chan mqtt.Delivery, 256), ended: make(chan error, 1)}
	up := make(chan struct{}, 1)
	session, err := mqtt.New(mqtt.Options{
		Broker: "tcp://" + l.broker.Address(), ClientID: "bench-ear", Clean: true,
		Subscriptions: []string{topic(mqtt.UpReply), topic(mqtt.UpState), topic(mqtt.UpDelta), echoTopic},
		Handle: func(ctx context.Context, d mqtt.Delivery) {
			d.Ack()
			select {
			case e.heard <- d:
			case <-ctx.Done():
			}
		},
		OnUp: func(context.Context) { up <- struct{}{} },
	})
	if err != nil {
		return nil, err
	}
	e.session = session
	running, leave := context.WithCancel(ctx)
	e.leave = leave
	go func() { e.ended <- session.Run(running) }()
	select {
	case <-up:
		return e, nil
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), e.close())
	}
}

func (e *ear) close() error {
	e.leave()
	return <-e.ended
}

// ask publishes and takes the time until the answer is heard.
func (e *ear) ask(ctx context.Context, m mqtt.Message, isAnswer func(mqtt.Delivery) (bool, error)) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	begun := time.Now()
	if err := e.session.Send(ctx, m, func(error) {}); err != nil {
		return 0, err
	}
	for {
		select {
		case d := <-e.heard:
			if is, err := isAnswer(d); is || err != nil {
				return time.Since(begun), err
			}
		case <-ctx.Done():
			return 0, fmt.Errorf("no answer to what was published on %q: %w", m.Topic, ctx.Err())
		}
	}
}

// echo takes the time of a message to the broker and back.
func (e *ear) echo(ctx context.Context, payload []byte) (time.Duration, error) {
	return e.ask(ctx, mqtt.Message{Topic: echoTopic, Payload: payload}, func(d mqtt.Delivery) (bool, error) {
		return d.Topic == echoTopic, nil
	})
}
