package mqtt_test

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
	"testing"
	"time"
)

// authority signs certificates for one test.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	CA   string // file
}

func newAuthority(tb testing.TB) *authority {
	tb.Helper()
	a := &authority{dir: tb.TempDir()}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority of " + a.dir},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(10 * 365 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.CA, a.key = a.issue(tb, "ca", a.cert)
	return a
}

// leaf issues a certificate for 127.0.0.1 and returns its files. The name is also
// that of the files, so that issuing again replaces them.
func (a *authority) leaf(tb testing.TB, name string, from, to time.Time) (certificate, key string) {
	tb.Helper()
	certificate, _ = a.issue(tb, name, &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		DNSNames: []string{"broker.test"}, NotBefore: from, NotAfter: to,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	return certificate, filepath.Join(a.dir, name+".key")
}

// valid issues a certificate that holds for a day around now.
func (a *authority) valid(tb testing.TB, name string) (certificate, key string) {
	return a.leaf(tb, name, time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour))
}

func (a *authority) issue(tb testing.TB, name string, template *x509.Certificate) (file string, key *ecdsa.PrivateKey) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	signer := a.key
	if signer == nil {
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, signer)
	if err != nil {
		tb.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	file = filepath.Join(a.dir, name+".pem")
	for name, block := range map[string]*pem.Block{
		file:                              {Type: "CERTIFICATE", Bytes: der},
		filepath.Join(a.dir, name+".key"): {Type: "PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	return file, key
}
