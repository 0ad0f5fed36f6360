package agent_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/edge/agent"
	"holdfast/edge/config"
	"holdfast/edge/host"
)

// certify writes a certificate that is good between two times, and its key.
func certify(t testing.TB, dir, name string, from, until time.Time) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: until}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	certificate, key = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
	for path, block := range map[string]*pem.Block{
		certificate: {Type: "CERTIFICATE", Bytes: signed}, key: {Type: "EC PRIVATE KEY", Bytes: encoded},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certificate, key
}

// patientOf is a configuration of a node on which nothing runs.
func patientOf(t testing.TB) config.Config {
	t.Helper()
	dir := t.TempDir()
	c := config.Default()
	c.Node.Name = "gw-1"
	c.Paths = config.Paths{State: filepath.Join(dir, "state"), Run: filepath.Join(dir, "run")}
	c.API.Socket, c.API.Listen = filepath.Join(dir, "run", "holdfast.sock"), ""
	c.Containerd.Address = filepath.Join(dir, "none.sock")
	c.Policy = config.Policy{Root: filepath.Join(dir, "root.json"), Factory: filepath.Join(dir, "factory.json")}
	return c
}

func examined(t testing.TB, c config.Config) map[string]host.Finding {
	t.Helper()
	findings := map[string]host.Finding{}
	for _, f := range (agent.Doctor{Config: c}).Examine(t.Context()) {
		if (f.Level == host.LevelOK) != (f.Remedy == "") || f.Subject == "" || f.Detail == "" {
			t.Errorf("got %+v, want a remedy just when something is wrong", f)
		}
		findings[f.Code] = f
	}
	return findings
}

// TestDoctor_Certificates reads what a connection is secured with. That the broker itself
// is not there is another finding.
func TestDoctor_Certificates(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	good, key := certify(t, dir, "good", now.Add(-time.Hour), now.AddDate(1, 0, 0))
	_, otherKey := certify(t, dir, "other", now.Add(-time.Hour), now.AddDate(1, 0, 0))
	soon, soonKey := certify(t, dir, "soon", now.Add(-time.Hour), now.AddDate(0, 0, 10))
	ended, endedKey := certify(t, dir, "ended", now.AddDate(-1, 0, 0), now.AddDate(0, 0, -1))
	future, futureKey := certify(t, dir, "future", now.AddDate(0, 0, 1), now.AddDate(1, 0, 0))
	const address = "tls://127.0.0.1:1" // where nobody listens
	for name, c := range map[string]struct {
		broker config.Broker
		want   host.Level
		words  string
	}{
		"Good":      {config.Broker{CA: good, Certificate: good, Key: key}, host.LevelOK, "fits its key and is good for 364 days"},
		"None":      {config.Broker{}, host.LevelOK, "that the system trusts"},
		"WrongKey":  {config.Broker{Certificate: good, Key: otherKey}, host.LevelFail, "do not make a pair"},
		"NoKey":     {config.Broker{Certificate: good, Key: key + ".none"}, host.LevelFail, "do not make a pair"},
		"Soon":      {config.Broker{Certificate: soon, Key: soonKey}, host.LevelWarn, "ends in 9 days"},
		"Ended":     {config.Broker{Certificate: ended, Key: endedKey}, host.LevelFail, "has ended on"},
		"Future":    {config.Broker{Certificate: future, Key: futureKey}, host.LevelFail, "is not valid before"},
		"EndedCA":   {config.Broker{CA: ended}, host.LevelFail, "has ended on"},
		"NoCA":      {config.Broker{CA: good + ".none"}, host.LevelFail, "no such file"},
		"KeyForCA":  {config.Broker{CA: key}, host.LevelFail, "it holds none"},
		"BrokenPEM": {config.Broker{CA: broken(t, dir)}, host.LevelFail, "cannot read certificates"},
	} {
		t.Run(name, func(t *testing.T) {
			conf := patientOf(t)
			c.broker.Address = address
			conf.Link.Broker = c.broker
			got := examined(t, conf)
			if f := got["link-certificates"]; f.Level != c.want || !strings.Contains(f.Detail, c.words) {
				t.Errorf("got %+v, want %s and %q", f, c.want, c.words)
			}
			if f := got["link"]; f.Level != host.LevelWarn {
				t.Errorf("got %+v of a broker that is not there, want a warning", f)
			}
		})
	}
}

func broken(t testing.TB, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "broken.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestDoctor_Repair has nothing to repair the second time.
func TestDoctor_Repair(t *testing.T) {
	c := patientOf(t)
	doctor := agent.Doctor{Config: c, ContainerdConfig: filepath.Join(t.TempDir(), "none.toml")}
	if got := doctor.Repair(t.Context()); len(got) != 4 { // three folders, and a containerd that nobody knows
		t.Errorf("got %+v, want three folders made", got)
	}
	for _, path := range []string{c.Paths.State, filepath.Join(c.Paths.State, "images"), c.Paths.Run} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o755 {
			t.Errorf("got %v, %v of %s, want a folder others may look into", info, err, path)
		}
	}
	if got := doctor.Repair(t.Context()); len(got) != 1 || got[0].Failed == "" || got[0].Remedy == "" {
		t.Errorf("got %+v, want only that containerd is not known", got)
	}
}
