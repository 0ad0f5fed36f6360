package upstream

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/sony/gobreaker"

	"holdfast/edge"
	"holdfast/edge/oip"
)

// What an upstream says of a model is asked for when somebody wants to know, and again when it
// is that old: seldom, as it hardly changes, and sooner where there was no answer.
const (
	describedFor = 10 * time.Minute
	triedFor     = 10 * time.Second
)

// maxDescription bounds what an upstream says of a model.
const maxDescription = 256 << 10

// description is what an upstream says of one of its models; without a name, nothing yet.
type description struct {
	meta  oip.ModelMetadata
	tried time.Time // when it was last asked for
}

func (d description) isStale(now time.Time) bool {
	if d.meta.Name == "" {
		return now.Sub(d.tried) >= triedFor
	}
	return now.Sub(d.tried) >= describedFor
}

// Model is what the upstream has said of a model, and whether it is asked now. What is not
// known yet, or no more, is asked for while Run runs.
func (u *Upstream) Model(name string) (meta oip.ModelMetadata, up bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	d, known := u.models[name]
	if !known || d.isStale(time.Now()) {
		u.models[name] = d
		select {
		case u.curious <- struct{}{}:
		default:
		}
	}
	return d.meta, u.report.State == edge.UpstreamUp
}

// describe asks for what is stale, unless the upstream is left alone.
func (u *Upstream) describe(ctx context.Context) {
	for _, name := range u.stale() {
		if u.breaker.State() != gobreaker.StateClosed {
			return
		}
		meta, err := u.metadata(ctx, name)
		u.mu.Lock()
		d := u.models[name]
		d.tried = time.Now()
		if err == nil {
			d.meta = meta
		}
		u.models[name] = d
		u.mu.Unlock()
	}
}

func (u *Upstream) stale() (names []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for name, d := range u.models {
		if d.isStale(time.Now()) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (u *Upstream) metadata(ctx context.Context, name string) (meta oip.ModelMetadata, err error) {
	ctx, cancel := context.WithTimeout(ctx, min(probeWithin, u.options.Timeout))
	defer cancel()
	r, err := u.request(ctx, http.MethodGet, "/v2/models/"+url.PathEscape(name), nil)
	if err != nil {
		return meta, err
	}
	resp, err := u.http.Do(r)
	if err != nil {
		return meta, u.unreached(ctx, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxDescription))
	switch {
	case err != nil:
		return meta, u.unreached(ctx, err)
	case resp.StatusCode != http.StatusOK:
		return meta, u.said(resp, body)
	}
	if json.Unmarshal(body, &meta) != nil || meta.Name == "" {
		return oip.ModelMetadata{}, fmt.Errorf("upstream %q does not say what model %q takes: %w", u.options.Name, name, edge.ErrModel)
	}
	return meta, nil
}
