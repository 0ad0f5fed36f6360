package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"holdfast/build/stand"
	"holdfast/edge/fleet"
	"holdfast/edge/trust"
)

// policyRounds is how many versions one run applies: enough for a p90.
const policyRounds = 40

// policy measures a node that is governed: what a new version costs in time and in
// flash, and what being governed adds to a start. The state stands on a file system
// of its own, ext4 on a loop device, whose counter no other process moves.
func (b *bench) policy(ctx context.Context) (err error) {
	disk, err := newDisk(ctx, filepath.Join(b.options.dir, "disk"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, disk.close(context.WithoutCancel(ctx))) }()
	author, err := newAuthor(ctx, filepath.Join(disk.path, "fleet"), b.options.image)
	if err != nil {
		return err
	}
	node, err := b.governed(ctx, disk, author)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.Close()) }()
	if err := b.applies(ctx, node, disk, author); err != nil {
		return err
	}
	if err := b.governedStart(ctx, node); err != nil {
		return err
	}
	return empty(ctx, node, author)
}

// empty lets the node stop what it runs, whose output is written to the disk.
func empty(ctx context.Context, node *stand.Stand, author *author) error {
	envelope, err := author.sign(ctx, policyRounds+2, "")
	if err != nil {
		return err
	}
	if _, err := node.Client().ApplyPolicy(ctx, envelope); err != nil {
		return err
	}
	return node.AwaitNothing(ctx)
}

// governed brings a node up under the factory policy, its model serving.
func (b *bench) governed(ctx context.Context, disk *disk, author *author) (*stand.Stand, error) {
	factory, err := author.policy(ctx, 1)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(disk.path, "factory.json")
	if err := fleet.Write(path, factory); err != nil {
		return nil, err
	}
	node, err := b.stand.Beside(stand.Options{
		Dir: filepath.Join(b.options.dir, "governed"), Binary: b.options.binary,
		Set: []string{
			"containerd.namespace=governed", "node.name=bench", "policy.root=" + author.root, "policy.factory=" + path,
			"paths.state=" + filepath.Join(disk.path, "state"),
		},
	})
	if err != nil {
		return nil, err
	}
	begin := func() error {
		if err := node.StartAgent(ctx); err != nil {
			return err
		}
		if err := node.Import(ctx, b.options.image); err != nil {
			return err
		}
		return node.AwaitModel(ctx, "digits")
	}
	if err := begin(); err != nil {
		return nil, errors.Join(err, node.Close())
	}
	return node, nil
}

// applies brings the node one version after the other, in which a deadline changes
// and no instance. The baseline is the least that keeps a document through a power
// cut: a file of the same bytes, written beside, synced and renamed.
func (b *bench) applies(ctx context.Context, node *stand.Stand, disk *disk, author *author) error {
	var ours, plain []time.Duration
	var oursBytes, plainBytes uint64
	for version := range uint64(policyRounds) {
		envelope, err := author.policy(ctx, version+2)
		if err != nil {
			return err
		}
		took, wrote, err := disk.measure(func() error {
			_, err := node.Client().ApplyPolicy(ctx, envelope)
			return err
		})
		if err != nil {
			return err
		}
		ours, oursBytes = append(ours, took), oursBytes+wrote
		took, wrote, err = disk.measure(func() error { return fleet.Write(filepath.Join(disk.path, fmt.Sprintf("plain-%d", version)), envelope) })
		if err != nil {
			return err
		}
		plain, plainBytes = append(plain, took), plainBytes+wrote
	}
	slices.Sort(ours)
	slices.Sort(plain)
	for _, q := range []struct {
		name string
		at   float64
	}{{"p50", 0.5}, {"p90", 0.9}} {
		mine, base := quantile(ours, q.at), quantile(plain, q.at)
		row("policy applied: verified, kept twice, in force, "+q.name, millis(mine), millis(base), float64(mine)/float64(base), "(baseline: one synced file)")
	}
	row("written to the block device per policy", kibibytes(oursBytes/policyRounds), kibibytes(plainBytes/policyRounds),
		float64(oursBytes)/float64(plainBytes), "(baseline: one synced file)")
	return nil
}

// governedStart tells how long a governed node takes to be there again.
func (b *bench) governedStart(ctx context.Context, node *stand.Stand) error {
	body, err := os.ReadFile("testdata/digits/3.json")
	if err != nil {
		return fmt.Errorf("cannot read request: %w", err)
	}
	took, err := restarts(ctx, node, newCaller(node.Socket(), "digits", body))
	if err != nil {
		return err
	}
	row("start under a policy to first answer of the API", millis(took.ready), "", 0, "≤ 50 ms")
	row("the same to the first answer of the adopted model", millis(took.answered), "", 0, "≤ 150 ms")
	return nil
}

// startTimes are medians.
type startTimes struct{ ready, answered time.Duration }

// restarts kills the agent and takes the time from the start of the next one to its
// first answer, and to the first answer of a model it adopts.
func restarts(ctx context.Context, node *stand.Stand, caller *caller) (startTimes, error) {
	const starts = 11
	ready, answered := make([]time.Duration, 0, starts), make([]time.Duration, 0, starts)
	for range starts {
		if err := node.KillAgent(); err != nil {
			return startTimes{}, err
		}
		begun := time.Now()
		if err := node.StartAgent(ctx); err != nil {
			return startTimes{}, err
		}
		ready = append(ready, time.Since(begun))
		if err := firstAnswer(ctx, caller); err != nil {
			return startTimes{}, err
		}
		answered = append(answered, time.Since(begun))
	}
	slices.Sort(ready)
	slices.Sort(answered)
	return startTimes{ready[starts/2], answered[starts/2]}, nil
}

// firstAnswer asks until the model answers.
func firstAnswer(ctx context.Context, caller *caller) error {
	for {
		_, err := caller.call(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
}

// author writes and signs the versions of one policy.
type author struct {
	root string // file of the signed root document
	key  ed25519.PrivateKey
	pins fleet.Pins
}

func newAuthor(ctx context.Context, folder, image string) (*author, error) {
	if _, err := fleet.Init(ctx, folder, fleet.DefaultQuorums(), rand.Reader); err != nil {
		return nil, err
	}
	key, err := fleet.ReadPrivateKey(filepath.Join(folder, "keys", "policy-1.key"))
	if err != nil {
		return nil, err
	}
	pins := fleet.Pins{}
	return &author{root: filepath.Join(folder, "root.json"), key: key, pins: pins}, pins.AddFolder(filepath.Dir(image))
}

// apps is what the policy runs.
const apps = `
apps:
  line:
    services:
      digits:
        image: ` + sampleImage + `
        deploy: {resources: {limits: {memory: 64M, pids: 32}}}
        x-holdfast: {model: digits, variants: [digits-lite], endpoint: "unix:///run/model/model.sock", cost: 2ms}
`

// policy gives a signed version.
func (a *author) policy(ctx context.Context, version uint64) ([]byte, error) {
	return a.sign(ctx, version, apps)
}

func (a *author) sign(ctx context.Context, version uint64, apps string) ([]byte, error) {
	text := fmt.Sprintf(`
apiVersion: holdfast/v1
kind: Policy
metadata: {name: bench, version: %d, audience: {node: bench}}
lease: {hours: 720, boots: 200}
classes: {normal: {deadline: %dms}}
%s`, version, 1000+version, apps)
	built, err := fleet.Build(ctx, fleet.Source{Path: "bench.yaml", Content: []byte(text), Pins: a.pins})
	if err != nil {
		return nil, err
	}
	return trust.Sign(trust.RolePolicy.PayloadType(), built.Payload, a.key)
}
