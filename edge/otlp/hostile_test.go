package otlp_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/edge"
	"holdfast/edge/otlp"
)

func contextOf(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithCancel(context.WithoutCancel(t.Context()))
}

// trips is a collector without a network, for hours that pass in no time.
type trips func(*http.Request) (*http.Response, error)

func (f trips) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func status(code int, header ...string) *http.Response {
	resp := &http.Response{StatusCode: code, Status: http.StatusText(code), Header: http.Header{}, Body: io.NopCloser(strings.NewReader("{}"))}
	if len(header) == 2 {
		resp.Header.Set(header[0], header[1])
	}
	return resp
}

// TestExporter_Hostile has collectors misbehave for ten minutes, and then be well.
func TestExporter_Hostile(t *testing.T) {
	for name, fault := range map[string]func(*http.Request) (*http.Response, error){
		"Full":    func(*http.Request) (*http.Response, error) { return status(http.StatusServiceUnavailable), nil },
		"Closing": func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF },
		"Slow": func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		},
		"Breaking": func(*http.Request) (*http.Response, error) {
			resp := status(http.StatusOK)
			resp.Body = io.NopCloser(io.MultiReader(strings.NewReader("{"), broken{}))
			return resp, nil
		},
		"AsksForPatience": func(*http.Request) (*http.Response, error) {
			return status(http.StatusTooManyRequests, "Retry-After", "30"), nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &warnings{standing: map[string]edge.Warning{}, changed: make(chan struct{}, 1000)}
				began := time.Now()
				var asked atomic.Int64
				e := otlp.NewOver(otlp.Options{URL: "http://c/v1/traces", Warn: w.raise, Clear: w.clear}, trips(func(r *http.Request) (*http.Response, error) {
					asked.Add(1)
					if time.Since(began) < 10*time.Minute {
						return fault(r)
					}
					return status(http.StatusOK), nil
				}))
				e.Settled(task("t-1"))
				end := run(t, e)
				time.Sleep(9 * time.Minute)
				if n := asked.Load(); n < 8 || n > 40 {
					t.Errorf("it was asked %d times in nine minutes", n)
				}
				if warned := w.all()[otlp.WarningFailing]; warned.Remedy == "" || warned.Subject != "http://c/v1/traces" {
					t.Errorf("the warnings are %+v", w.all())
				}
				if got := e.Report(); got.Waiting != 1 {
					t.Errorf("the report is %+v, want the task to wait", got)
				}
				time.Sleep(3 * time.Minute)
				if got := e.Report(); got != (edge.TraceReport{Sent: 1}) || len(w.all()) > 0 {
					t.Errorf("the report is %+v, warnings are %+v", got, w.all())
				}
				end()
			})
		})
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// TestExporter_EndsInTime has a collector that never answers not hold the end up.
func TestExporter_EndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := otlp.NewOver(otlp.Options{URL: "http://c/", Warn: func(edge.Warning) {}, Clear: func(string, string) {}}, trips(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}))
		e.Settled(task("t-1"))
		end := run(t, e)
		synctest.Wait()
		began := time.Now()
		end()
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("it ended after %v", took)
		}
	})
}
