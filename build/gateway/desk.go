package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"holdfast/build/rootfs"
	"holdfast/edge/cli"
)

// What the gateway of the proof is called, and where it finds its fleet: addresses that are
// there for it alone, and lead to servers on this machine's loopback.
const (
	nodeName   = "line-3-gw"
	plant      = "plant-7"
	group3     = "line-3"
	brokerHost = "10.0.2.100"
	brokerPort = "8883"
	shelfHost  = "10.0.2.101"
	shelfPort  = "80"
)

// siteFile is what a field engineer writes for it.
const siteFile = `node: {name: ` + nodeName + `, site: ` + plant + `, role: inspection, groups: [` + group3 + `]}
broker: {url: "tls://` + brokerHost + ":" + brokerPort + `", ca: ca.pem, token: "%s"}
root: root.json
policy: policy.json
network:
  - match: en*
    address: 10.0.2.15/24
`

// desk is where a fleet is run from in a proof: keys of its own, a broker, releases.
type desk struct {
	p      *place
	o      options
	dir    string
	broker string // where it listens
	shelf  string
	work   sync.WaitGroup // what serves until the context ends
	said   *os.File       // what the servers say
}

func (d *desk) path(name string) string { return filepath.Join(d.dir, name) }
func (d *desk) key(name string) string  { return d.path("fleet/keys/" + name + ".key") }
func (d *desk) root() string            { return d.path("fleet/root.json") }

// newDesk makes all that is written before the gateway is there.
func (p *place) newDesk(ctx context.Context, o options) (*desk, error) {
	d := &desk{p: p, o: o, dir: p.path("desk")}
	if err := os.RemoveAll(d.dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(d.path("site"), 0o700); err != nil {
		return nil, err
	}
	for _, make := range []func(context.Context) error{d.authority, d.policy, d.users} {
		if err := make(ctx); err != nil {
			return nil, fmt.Errorf("cannot make the desk: %w", err)
		}
	}
	return d, nil
}

// authority makes the fleet's keys, and the certificate of its broker.
func (d *desk) authority(ctx context.Context) error {
	if err := holdfast(ctx, "policy", "init", d.path("fleet")); err != nil {
		return err
	}
	now := time.Now()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: plant}, NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	key, err := d.issue("ca", ca, ca, nil)
	if err != nil {
		return err
	}
	_, err = d.issue("broker", &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "broker"}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		IPAddresses: []net.IP{net.ParseIP(brokerHost), net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, ca, key)
	return err
}

// issue writes a key and a certificate for it, signed by another one, or by itself.
func (d *desk) issue(name string, of, by *x509.Certificate, signer *ecdsa.PrivateKey) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if signer == nil {
		signer = key
	}
	certificate, err := x509.CreateCertificate(rand.Reader, of, by, key.Public(), signer)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, errors.Join(
		rootfs.Write(d.path(name+".pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}), 0o644),
		rootfs.Write(d.path(name+".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600),
	)
}

// policy makes what the gateway is governed by before its fleet has spoken: the sample model,
// by the fleet's keys, which are not the image's.
func (d *desk) policy(ctx context.Context) error {
	text, err := files.ReadFile("files/policy.yaml")
	if err != nil {
		return err
	}
	own := strings.Replace(strings.Replace(string(text), "name: factory", "name: "+group3, 1), "group: gateway", "group: "+group3, 1)
	return errors.Join(
		rootfs.Write(d.path("policy.yaml"), []byte(own), 0o644),
		holdfast(ctx, "policy", "build", d.path("policy.yaml"), "--images", d.o.images, "--out", d.path("policy.built")),
		holdfast(ctx, "policy", "sign", d.path("policy.built"), "--key", d.key("policy-1"), "--root", d.root(), "--out", d.path("site/policy.json")),
	)
}

// users makes the broker's list of them, and the site file with the gateway's own token.
func (d *desk) users(ctx context.Context) error {
	var list bytes.Buffer
	tokens := map[string]string{}
	for _, user := range []string{nodeName, "operator"} {
		random := make([]byte, 16)
		_, _ = rand.Read(random) // never fails
		tokens[user] = hex.EncodeToString(random)
		var wrong bytes.Buffer
		if code := cli.Main(ctx, cli.Process{
			Args: []string{"broker", "password", user}, Stdin: strings.NewReader(tokens[user] + "\n"), Stdout: &list, Stderr: &wrong,
		}); code != cli.ExitOK {
			return fmt.Errorf("cannot make a password: %s", &wrong)
		}
	}
	return errors.Join(
		rootfs.Write(d.path("users"), list.Bytes(), 0o600),
		rootfs.Write(d.path("operator.password"), []byte(tokens["operator"]+"\n"), 0o600),
		rootfs.Write(d.path("site/line-3.yaml"), fmt.Appendf(nil, siteFile, tokens[nodeName]), 0o600),
		rootfs.Link(d.path("ca.pem"), d.path("site/ca.pem")),
		rootfs.Link(d.root(), d.path("site/root.json")),
	)
}

// open starts the broker, somebody who attends, and the web server with releases. They end
// with the context.
func (d *desk) open(ctx context.Context) (err error) {
	if d.said, err = os.Create(d.path("servers.log")); err != nil {
		return err
	}
	if d.broker, err = freeAddress(ctx); err != nil {
		return err
	}
	d.serve(ctx, "broker", "--listen", d.broker, "--tls-cert", d.path("broker.pem"), "--tls-key", d.path("broker.key"),
		"--users", d.path("users"), "--operators", "operator", "--keep", d.path("retained"))
	if err := answering(ctx, d.broker); err != nil {
		return err
	}
	d.serve(ctx, append([]string{"fleet", "attend", "--freshness", d.key("freshness-1"), "--root", d.root()}, d.link()...)...)
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	d.shelf = listener.Addr().String()
	server := &http.Server{Handler: http.FileServer(http.Dir(d.path("releases"))), ReadHeaderTimeout: time.Minute}
	d.work.Go(func() { _ = server.Serve(listener) }) // until it is closed
	context.AfterFunc(ctx, func() { _ = server.Close() })
	return nil
}

// wait returns when all of them have ended.
func (d *desk) wait() {
	d.work.Wait()
	_ = d.said.Close() // a log
}

// serve runs a verb of holdfast until the context ends.
func (d *desk) serve(ctx context.Context, args ...string) {
	d.work.Go(func() { _ = cli.Main(ctx, cli.Process{Args: args, Stdout: d.said, Stderr: d.said}) }) // whoever needs it finds out that it is not there
}

// link is where the verbs of the fleet find it.
func (d *desk) link() []string {
	return []string{
		"--broker", "tls://" + d.broker, "--ca", d.path("ca.pem"), "--user", "operator", "--password-file", d.path("operator.password"),
		"--site", plant, "--keep", d.path("kept"),
	}
}

// fleet runs a verb of the fleet, shows what it says, and returns that with its exit code.
func (d *desk) fleet(ctx context.Context, args ...string) (string, int) {
	fmt.Printf("    $ holdfast fleet %s\n", strings.ReplaceAll(strings.Join(args, " "), d.dir+"/", ""))
	var said bytes.Buffer
	out := io.MultiWriter(&said, &indented{to: os.Stdout})
	code := cli.Main(ctx, cli.Process{Args: append(append([]string{"fleet"}, args...), d.link()...), Stdout: out, Stderr: out})
	return said.String(), code
}

// indented shows lines as those of another program, each when it is whole.
type indented struct {
	to   io.Writer
	half []byte
}

func (w *indented) Write(text []byte) (int, error) {
	w.half = append(w.half, text...)
	for {
		line, rest, whole := bytes.Cut(w.half, []byte("\n"))
		if !whole {
			return len(text), nil
		}
		fmt.Fprintf(w.to, "    %s\n", line)
		w.half = rest
	}
}

// update has the gateway's agent updated to a release, and waits for the final reply.
func (d *desk) update(ctx context.Context, version string) (string, int) {
	return d.fleet(ctx, "command", nodeName, "update", d.path("releases/"+version), "http://"+shelfHost+"/"+version,
		"--key", d.key("command-1"), "--root", d.root(), "--wait", "1h")
}

// release builds a program of a version for the gateway and signs it as a release.
func (d *desk) release(ctx context.Context, version string, sequence int, pkg, flags string) error {
	folder := d.path("releases/" + version)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	program := "holdfast-linux-" + d.p.name
	build := rootfs.Command(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-tags", "grpcnotrace,nethttpomithttp2",
		"-ldflags", "-s -w -buildid= -X main.version="+version+" "+flags, "-o", filepath.Join(folder, program), pkg)
	build.Dir, build.Env = d.p.root, append(append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux"), d.p.platform...)
	document := filepath.Join(folder, "holdfast-release.json")
	return errors.Join(
		rootfs.Complete(build, group),
		holdfast(ctx, "release", "build", folder, "--version", version, "--sequence", fmt.Sprint(sequence)),
		holdfast(ctx, "release", "sign", document, "--key", d.key("release-1"), "--root", d.root(), "--out", document),
	)
}

// freeAddress is one of this machine's loopback where nobody listens.
func freeAddress(ctx context.Context) (string, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("cannot find a free port: %w", err)
	}
	return listener.Addr().String(), listener.Close()
}

// answering waits until somebody listens at an address.
func answering(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	pause := time.NewTicker(50 * time.Millisecond)
	defer pause.Stop()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("nobody listens at %s: %w", address, err)
		case <-pause.C:
		}
	}
}
