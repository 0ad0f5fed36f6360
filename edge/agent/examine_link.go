package agent

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/url"
	"strings"
	"time"

	"holdfast/edge"
	"holdfast/edge/config"
	"holdfast/edge/host"
	"holdfast/mqtt"
)

// probeWithin bounds a visit to a broker: over a satellite a handshake takes seconds.
const probeWithin = 8 * time.Second

// examineBrokers looks at the ways to the fleet and to the site.
func (d Doctor) examineBrokers(ctx context.Context, status *edge.Status) []host.Finding {
	c := d.Config
	var toFleet, toSite *edge.LinkReport
	if status != nil {
		toFleet, toSite = status.Link, status.Site
	}
	var findings []host.Finding
	for _, way := range []struct {
		name, whose string
		broker      config.Broker
		said        *edge.LinkReport
	}{{"link", "the fleet's broker", c.Link.Broker, toFleet}, {"site", "the site's broker", c.Site, toSite}} {
		if way.broker.Address == "" {
			findings = append(findings, found(way.name, way.whose, "none is configured"))
			continue
		}
		if f, secure := examineCertificates(way.name, way.broker, time.Now()); secure {
			findings = append(findings, f)
		}
		findings = append(findings, d.examineBroker(ctx, way.name, way.whose, way.broker, way.said))
	}
	return findings
}

// examineBroker believes an agent whose connection stands. Otherwise it visits the broker
// itself, under a name of the moment, so that it takes nobody's place there.
func (d Doctor) examineBroker(ctx context.Context, name, whose string, broker config.Broker, said *edge.LinkReport) host.Finding {
	f := found(name, whose+" at "+broker.Address, "")
	if said != nil && said.Phase == string(mqtt.Up) {
		f.Detail = "the agent has been connected since " + said.Since.UTC().Format(time.RFC3339)
		return f
	}
	getenv := d.Getenv
	if getenv == nil {
		getenv = func(string) string { return "" }
	}
	started := time.Now()
	failure, err := visit(ctx, mqtt.Options{
		Broker: broker.Address, TLS: certificates(broker), Clean: true, ClientID: "doctor-" + strings.ToLower(rand.Text()[:10]),
		Credentials: credentials(broker, name+"-password", getenv), ConnectTimeout: probeWithin,
	})
	took := time.Since(started).Round(time.Millisecond)
	switch {
	case err != nil:
		return turned(f, host.LevelFail, err.Error(), remedyOf(err, "correct "+name+".broker in the configuration"))
	case failure == nil:
		f.Detail = fmt.Sprintf("answers within %v", took)
		return f
	}
	level := host.LevelWarn // the node does its work without
	return turned(f, level, fmt.Sprintf("%s, after %v", failure.Error(), took), remedyOf(failure, brokerRemedy(name, failure.Cause)))
}

// remedyOf is the hint that an error carries, or one for all.
func remedyOf(err error, otherwise string) string {
	if hint := edge.HintOf(err); hint != "" {
		return hint
	}
	return otherwise
}

func brokerRemedy(name string, cause mqtt.Cause) string {
	if cause == mqtt.Unreachable {
		return "check cable, address and firewall of " + name + ".broker; what happens meanwhile is kept and told later"
	}
	return "see what is said of " + name + ".* in the configuration (holdfast config show)"
}

// visit connects once and leaves again. The failure says why there was no connection.
func visit(ctx context.Context, o mqtt.Options) (*mqtt.Failure, error) {
	session, err := mqtt.New(o)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = session.Run(ctx) // what there is to say is in the failure
	}()
	failure, err := await(ctx, session)
	cancel()
	<-ended
	return failure, err
}

// await waits for the first word there is.
func await(ctx context.Context, session *mqtt.Session) (*mqtt.Failure, error) {
	for {
		changed := session.Changed()
		switch state := session.State(); {
		case state.Phase == mqtt.Up:
			return nil, nil
		case state.Failure != nil:
			return state.Failure, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("no answer within %v: %w", probeWithin, edge.ErrUnavailable)
		}
	}
}

// renewBefore is when a certificate is worth a warning: a month is a visit's notice.
const renewBefore = 30 * 24 * time.Hour

// examineCertificates reads what a connection is secured with.
func examineCertificates(name string, broker config.Broker, now time.Time) (f host.Finding, secure bool) {
	f = found(name+"-certificates", "certificates of "+name, "")
	u, err := url.Parse(broker.Address)
	secure = err == nil && (u.Scheme == "tls" || u.Scheme == "mqtts" || u.Scheme == "ssl")
	if !secure {
		return f, false
	}
	var said []string
	if broker.CA != "" {
		list, err := readCertificates(broker.CA)
		if err != nil {
			return turned(f, host.LevelFail, err.Error(), "put the certificate of who signs the broker's at "+broker.CA), true
		}
		if text, level, remedy := judgeValidity(list, now); level != host.LevelOK {
			return turned(f, level, broker.CA+" "+text, remedy), true
		}
		said = append(said, broker.CA+" can be read")
	}
	if broker.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(broker.Certificate, broker.Key)
		if err != nil {
			return turned(f, host.LevelFail, fmt.Sprintf("%s and %s do not make a pair: %v", broker.Certificate, broker.Key, err),
				"have a certificate issued for this key, and put both in place, readable for the agent"), true
		}
		text, level, remedy := judgeValidity([]*x509.Certificate{pair.Leaf}, now)
		if level != host.LevelOK {
			return turned(f, level, broker.Certificate+" "+text, remedy), true
		}
		said = append(said, fmt.Sprintf("%s fits its key and %s", broker.Certificate, text))
	}
	if f.Detail = strings.Join(said, "; "); len(said) == 0 {
		f.Detail = "none are configured: those that the system trusts count"
	}
	return f, true
}

func readCertificates(path string) (list []*x509.Certificate, err error) {
	text, err := readRegular(path, 1<<20)
	if err != nil {
		return nil, fmt.Errorf("cannot read certificates: %w", err)
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		one, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("cannot read certificates %q: %w", path, err)
		}
		list = append(list, one)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("cannot read certificates %q: it holds none", path)
	}
	return list, nil
}

// judgeValidity says how long the first of the certificates to end is good for.
func judgeValidity(list []*x509.Certificate, now time.Time) (text string, level host.Level, remedy string) {
	first := list[0]
	for _, one := range list {
		if one.NotAfter.Before(first.NotAfter) {
			first = one
		}
	}
	const renew = "have it renewed and put the new one in place; no restart is needed"
	left := first.NotAfter.Sub(now)
	switch {
	case now.Before(first.NotBefore):
		return "is not valid before " + first.NotBefore.UTC().Format(time.RFC3339), host.LevelFail, "set the clock, or let NTP do it; if the clock is right, have it issued anew"
	case left <= 0:
		return "has ended on " + first.NotAfter.UTC().Format(time.DateOnly), host.LevelFail, renew
	case left < renewBefore:
		return fmt.Sprintf("ends in %d days", int(left.Hours()/24)), host.LevelWarn, renew
	}
	return fmt.Sprintf("is good for %d days", int(left.Hours()/24)), host.LevelOK, ""
}
