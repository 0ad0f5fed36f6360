package mqtt_test

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/mqtt"
	"holdfast/mqtt/broker"
)

// secured is a broker that wants certificates, and a client's options for it.
func secured(t *testing.T) (*authority, *embedded, mqtt.Options) {
	a := newAuthority(t)
	certificate, key := a.valid(t, "broker.test")
	b := startEmbedded(t, broker.Options{Listen: []broker.Listener{{Address: "127.0.0.1:0", TLS: broker.TLS{Certificate: certificate, Key: key, ClientCA: a.CA}}}})
	ours, secret := a.valid(t, "press-1")
	return a, b, mqtt.Options{
		Broker: "tls://" + b.address(), ClientID: "press-1",
		TLS: mqtt.TLS{CA: a.CA, Certificate: ours, Key: secret, ServerName: "broker.test"},
	}
}

func TestSession_Certificates(t *testing.T) {
	day := 24 * time.Hour
	for name, test := range map[string]struct {
		spoil func(t *testing.T, a *authority, o *mqtt.Options)
		want  mqtt.Cause // empty: up
	}{
		"Good": {func(*testing.T, *authority, *mqtt.Options) {}, ""},
		"BrokerOfAnotherAuthority": {func(t *testing.T, a *authority, o *mqtt.Options) {
			o.TLS.CA = newAuthority(t).CA
		}, mqtt.Untrusted},
		"BrokerOfAnotherName": {func(t *testing.T, a *authority, o *mqtt.Options) {
			o.TLS.ServerName = "other.test"
		}, mqtt.Untrusted},
		"BrokerExpired": {func(t *testing.T, a *authority, o *mqtt.Options) {
			a.leaf(t, "broker.test", time.Now().Add(-2*day), time.Now().Add(-day))
		}, mqtt.Expired},
		"BrokerNotYetValid": {func(t *testing.T, a *authority, o *mqtt.Options) {
			a.leaf(t, "broker.test", time.Now().Add(day), time.Now().Add(2*day))
		}, mqtt.NotYetValid},
		"FloorCarriesAClockThatIsBehind": {func(t *testing.T, a *authority, o *mqtt.Options) {
			a.leaf(t, "broker.test", time.Now().Add(day), time.Now().Add(3*day))
			o.ClockFloor = func() time.Time { return time.Now().Add(2 * day) }
		}, ""},
		"FloorKnowsAnExpiry": {func(t *testing.T, a *authority, o *mqtt.Options) {
			o.ClockFloor = func() time.Time { return time.Now().Add(2 * day) }
		}, mqtt.Expired},
		"FloorBehindChangesNothing": {func(t *testing.T, a *authority, o *mqtt.Options) {
			o.ClockFloor = func() time.Time { return time.Unix(0, 0) }
		}, ""},
		"OursExpired": {func(t *testing.T, a *authority, o *mqtt.Options) {
			a.leaf(t, "press-1", time.Now().Add(-2*day), time.Now().Add(-day))
		}, mqtt.Expired},
		"OursNotYetValid": {func(t *testing.T, a *authority, o *mqtt.Options) {
			a.leaf(t, "press-1", time.Now().Add(day), time.Now().Add(2*day))
		}, mqtt.NotYetValid},
		"OursOfAnotherAuthority": {func(t *testing.T, a *authority, o *mqtt.Options) {
			o.TLS.Certificate, o.TLS.Key = newAuthority(t).valid(t, "press-1")
		}, mqtt.Refused},
		"OursMissing": {func(t *testing.T, a *authority, o *mqtt.Options) {
			o.TLS.Certificate, o.TLS.Key = "", ""
		}, mqtt.Refused},
		"OursUnreadable": {func(t *testing.T, a *authority, o *mqtt.Options) {
			o.TLS.Key = filepath.Join(t.TempDir(), "nothing")
		}, mqtt.Unprepared},
		"AuthorityUnreadable": {func(t *testing.T, a *authority, o *mqtt.Options) {
			o.TLS.CA = o.TLS.Key
		}, mqtt.Unprepared},
		"NobodyListens": {func(t *testing.T, a *authority, o *mqtt.Options) {
			o.Broker = "tls://" + freeAddress(t)
		}, mqtt.Unreachable},
	} {
		t.Run(name, func(t *testing.T) {
			a, _, o := secured(t)
			test.spoil(t, a, &o)
			s := start(t, o)
			got := s.await(t, func(state mqtt.State) bool { return isUp(state) || isWaiting(state) })
			switch {
			case test.want == "" && got.Phase != mqtt.Up:
				t.Errorf("link is down: %v, want up", got.Failure)
			case test.want != "" && (got.Failure == nil || got.Failure.Cause != test.want):
				t.Errorf("failure is %v, want cause %v", got.Failure, test.want)
			case test.want != "" && test.want != mqtt.Unreachable && edge.HintOf(got.Failure) == "":
				t.Errorf("failure %v comes without a remedy", got.Failure)
			}
		})
	}
}

// TestSession_MosquittoCertificates: another TLS library sends other alerts.
func TestSession_MosquittoCertificates(t *testing.T) {
	a := newAuthority(t)
	certificate, key := a.valid(t, "broker.test")
	m := startMosquitto(t, "cafile "+a.CA, "certfile "+certificate, "keyfile "+key, "require_certificate true")
	good, secret := a.valid(t, "press-1")
	old, oldSecret := a.leaf(t, "press-2", time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour))
	strange, strangeSecret := newAuthority(t).valid(t, "press-3")
	for name, test := range map[string]struct {
		certificate, key string
		want             mqtt.Cause
	}{
		"Good": {good, secret, ""}, "Expired": {old, oldSecret, mqtt.Expired},
		"OfAnotherAuthority": {strange, strangeSecret, mqtt.Refused}, "Missing": {"", "", mqtt.Refused},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, mqtt.Options{Broker: "tls://" + m.address(), TLS: mqtt.TLS{CA: a.CA, Certificate: test.certificate, Key: test.key, ServerName: "broker.test"}})
			got := s.await(t, func(state mqtt.State) bool { return isUp(state) || isWaiting(state) })
			if (test.want == "") != (got.Phase == mqtt.Up) || got.Failure != nil && got.Failure.Cause != test.want {
				t.Errorf("state is %v, failure %v, want cause %q", got.Phase, got.Failure, test.want)
			}
		})
	}
}

// TestSession_RenewedCertificate: the files are read anew for each connection.
func TestSession_RenewedCertificate(t *testing.T) {
	a, _, o := secured(t)
	a.leaf(t, "press-1", time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour))
	s := start(t, o)
	if got := s.await(t, isWaiting); got.Failure.Cause != mqtt.Expired {
		t.Fatalf("failure is %v, want expired", got.Failure)
	}
	s.stop() // a refusal is waited for at least 15 s, so Run begins anew
	a.valid(t, "press-1")
	again := start(t, o)
	again.await(t, isUp)
}

// TestSession_Credentials: passwords, in the file mosquitto's own tool writes, on
// both brokers.
func TestSession_Credentials(t *testing.T) {
	users := filepath.Join(t.TempDir(), "users")
	line, err := broker.HashPassword("press-1", "right")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(users, []byte(line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]server{
		"Mosquitto": startMosquitto(t, "allow_anonymous false", "password_file "+users),
		"Embedded":  startEmbedded(t, broker.Options{Users: users}),
	} {
		for password, up := range map[string]bool{"right": true, "wrong": false, "": false} {
			t.Run(name+"/Password"+password, func(t *testing.T) {
				s := start(t, mqtt.Options{Broker: "tcp://" + b.address(), Credentials: func() (string, string, error) { return "press-1", password, nil }})
				got := s.await(t, func(state mqtt.State) bool { return isUp(state) || isWaiting(state) })
				if up != (got.Phase == mqtt.Up) || !up && (got.Failure.Cause != mqtt.Refused || got.Wait < 15*time.Second) {
					t.Errorf("state is %+v (%v), want up %v, or refused with a long wait", got, got.Failure, up)
				}
			})
		}
	}
	t.Run("Unreadable", func(t *testing.T) {
		s := start(t, mqtt.Options{Broker: "tcp://" + startEmbedded(t, broker.Options{}).address(), Credentials: func() (string, string, error) {
			text, err := os.ReadFile(filepath.Join(t.TempDir(), "nothing"))
			return "press-1", string(text), err
		}})
		if got := s.await(t, isWaiting); got.Failure.Cause != mqtt.Unprepared {
			t.Errorf("failure is %v, want unprepared", got.Failure)
		}
	})
}

// TestSession_Unreachable: the plain ways of not being there.
func TestSession_Unreachable(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for name, at := range map[string]string{"Refused": freeAddress(t), "NoSuchHost": "no-such-host.invalid:1883", "Silent": silent.Addr().String()} {
		t.Run(name, func(t *testing.T) {
			s := start(t, mqtt.Options{Broker: "tcp://" + at, ConnectTimeout: 200 * time.Millisecond})
			want := mqtt.Unreachable
			if name == "Silent" {
				want = mqtt.Silent
			}
			if got := s.await(t, isWaiting); got.Failure.Cause != want {
				t.Errorf("failure is %v (%v), want %v", got.Failure.Cause, got.Failure, want)
			}
		})
	}
}
