package localapi_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"holdfast/edge"
	"holdfast/edge/trust"
)

func TestClient_Policy(t *testing.T) {
	r := start(t, newNode())
	view, err := r.client(t).Policy(t.Context())
	if err != nil || view.Version != 7 || string(view.Document) != `{"kind":"Policy"}` {
		t.Errorf("got %+v and error %v", view, err)
	}
	report, err := r.client(t).ApplyPolicy(t.Context(), []byte(`{"payloadType":"x"}`))
	if err != nil || report.Version != 8 || r.deeds() != `apply {"payloadType":"x"}` {
		t.Errorf("got %+v, error %v, and %q of the node", report, err, r.deeds())
	}
	// The port is open to every user of the machine, and policies hold environments.
	if _, err := r.port(t).Policy(t.Context()); err == nil {
		t.Error("got the policy by the port, want a refusal")
	}
}

func TestClient_ApplyPolicy_Refused(t *testing.T) {
	n := newNode()
	r := start(t, n)
	for name, test := range map[string]struct {
		err  error
		want string
		is   error
	}{
		"NotBelieved":   {&trust.Refusal{Reason: trust.ReasonRollback, Detail: "version 1"}, "rollback: version 1", edge.ErrInvalid},
		"ImageMissing":  {edge.WithHint(edge.ErrNotFound, "import it"), "not found", edge.ErrNotFound},
		"OtherTroubles": {errors.New("disk gone"), "disk gone", nil},
	} {
		t.Run(name, func(t *testing.T) {
			n.control = test.err
			_, err := r.client(t).ApplyPolicy(t.Context(), []byte("{}"))
			if err == nil || err.Error() != test.want || test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("got %v, want %q that is %v", err, test.want, test.is)
			}
			if got, want := edge.HintOf(err), edge.HintOf(test.err); got != want {
				t.Errorf("got hint %q, want %q", got, want)
			}
		})
	}
	n.control = &trust.Refusal{Reason: trust.ReasonRollback}
	r.send(t, http.MethodPost, "/v1/policy", strings.NewReader("{}")).want(t, 422, "rollback", "", "rollback")
	n.control = nil
	large := strings.NewReader(strings.Repeat(" ", trust.MaxEnvelope+1))
	r.send(t, http.MethodPost, "/v1/policy", large).want(t, 413, "body_too_large", "", "at most 70144 bytes")
	if strings.Count(r.deeds(), "apply") != 4 {
		t.Errorf("got %q, want the one that is too large not to reach the node", r.deeds())
	}
}
