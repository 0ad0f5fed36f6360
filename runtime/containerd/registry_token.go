package containerd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"holdfast/edge"
)

// identify answers a registry that wants to know who asks: with the node's password
// for it, or with a token that it has given for one, or to anybody.
func (r *registry) identify(ctx context.Context, challenge string) (err error) {
	if scheme, _, _ := strings.Cut(challenge, " "); strings.EqualFold(scheme, "Basic") && r.login != nil && !r.basic {
		r.basic = true
		return nil
	}
	r.token, err = r.fetchToken(ctx, challenge)
	return err
}

// sign says who asks, as the registry wants to hear it.
func (r *registry) sign(req *http.Request) {
	switch {
	case r.token != "":
		req.Header.Set("Authorization", "Bearer "+r.token)
	case r.basic:
		req.SetBasicAuth(r.login.User, r.login.Password)
	}
}

// maxToken bounds what a registry may have its callers carry.
const maxToken = 64 << 10

// fetchToken gets what a registry gives to whoever asks for it first.
func (r *registry) fetchToken(ctx context.Context, challenge string) (string, error) {
	where, err := r.tokenAddress(challenge)
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, http.NoBody)
	if err != nil {
		return "", err
	}
	if r.login != nil {
		req.SetBasicAuth(r.login.User, r.login.Password)
	}
	resp, err := r.do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if err := r.statusError(resp); err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxToken))
	if err != nil {
		return "", err
	}
	var given struct {
		Token  string `json:"token"`
		Access string `json:"access_token"`
	}
	if err := json.Unmarshal(text, &given); err != nil || given.Token+given.Access == "" {
		return "", fmt.Errorf("what should be a token is none: %w", edge.ErrInvalid)
	}
	if given.Token == "" {
		return given.Access, nil
	}
	return given.Token, nil
}

// tokenAddress reads where a token is to be had: Bearer realm="…",service="…".
func (r *registry) tokenAddress(challenge string) (string, error) {
	scheme, rest, _ := strings.Cut(challenge, " ")
	values := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		values[name] = strings.Trim(value, `"`)
	}
	realm, err := url.Parse(values["realm"])
	if !strings.EqualFold(scheme, "Bearer") || err != nil || realm.Host == "" {
		return "", r.unwelcome(fmt.Sprintf("it wants to know who asks, by %.80q", challenge))
	}
	switch open := realm.Scheme == "http"; {
	case realm.Scheme != "https" && !(open && r.isOpen(realm.Host)):
		return "", fmt.Errorf("it sends for a token to %.80q, which is not encrypted: %w", realm.Redacted(), edge.ErrInvalid)
	case isLoopback(realm.Host) && !isLoopback(r.base.Host):
		return "", fmt.Errorf("it sends for a token to %.80q, which is this machine: %w", realm.Redacted(), edge.ErrInvalid)
	}
	query := realm.Query()
	query.Set("scope", "repository:"+r.repository+":pull")
	if service := values["service"]; service != "" {
		query.Set("service", service)
	}
	realm.RawQuery = query.Encode()
	return realm.String(), nil
}

// unwelcome is the error of a registry that does not want this node.
func (r *registry) unwelcome(why string) error {
	if r.login == nil {
		return edge.WithHint(fmt.Errorf("%s, and the node has no password for it: %w", why, edge.ErrInvalid),
			"write one into the file that images.passwords names, or let the node import the image as an archive")
	}
	return edge.WithHint(fmt.Errorf("%s, and does not take the node's password as %.80q: %w", why, r.login.User, edge.ErrInvalid),
		"correct it in the file that images.passwords names; it is read anew for each pull")
}
