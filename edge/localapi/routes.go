package localapi

import (
	"fmt"
	"net/http"
	"strings"

	"holdfast/edge"
	"holdfast/edge/oip"
)

// route is one thing that can be asked.
type route struct {
	method, path string
	about        string
	who          who
	told         bool // an event says that it was asked, and by whom
	serve        http.HandlerFunc
}

// who may ask at the port. At the socket everybody may ask everything who may use it.
type who uint8

const (
	anybody who = iota
	holders     // of the token: what has the node's workloads and tasks do something, and their output
	nobody      // what puts things on the node, or takes them away, and its policy
)

func (s *Server) routes() []route {
	return []route{
		{"GET", "/v2", "the server and its extensions", anybody, false, s.serverMetadata},
		{"GET", "/v2/health/live", "whether the agent is up", anybody, false, s.live},
		{"GET", "/v2/health/ready", "whether the node can take tasks", anybody, false, s.ready},
		{"GET", "/v2/models/{model}", "a model's inputs and outputs", anybody, false, s.modelMetadata},
		{"GET", "/v2/models/{model}/versions/{version}", "the same for one version", anybody, false, s.modelMetadata},
		{"GET", "/v2/models/{model}/ready", "whether a model can take tasks", anybody, false, s.modelReady},
		{"GET", "/v2/models/{model}/versions/{version}/ready", "the same for one version", anybody, false, s.modelReady},
		{"POST", "/v2/models/{model}/infer", "run a task", anybody, false, s.infer},
		{"POST", "/v2/models/{model}/versions/{version}/infer", "run a task on one version", anybody, false, s.infer},

		{"GET", "/metrics", "figures for Prometheus", anybody, false, s.metrics},

		{"GET", "/v1", "this list", anybody, false, s.index},
		{"GET", "/v1/status", "the node in one document", anybody, false, s.status},
		{"GET", "/v1/vitals", "what the node measures about itself", anybody, false, s.vitals},
		{"GET", "/v1/models", "the names of the models served here", anybody, false, s.models},
		{"GET", "/v1/tasks", "running, waiting and recent tasks", anybody, false, s.tasks},
		{"POST", "/v1/tasks/{id}/cancel", "give a task up", holders, false, s.cancel},
		{"GET", "/v1/workloads", "workloads and their instances", anybody, false, s.workloads},
		{"POST", "/v1/restart", "restart ?target=app/service or an instance", holders, true, s.restart},
		{"POST", "/v1/drain", "take no new tasks and wait for those inside", holders, true, s.drain},
		{"POST", "/v1/undrain", "take tasks again", holders, true, s.undrain},
		{"POST", "/v1/explain", "what would become of a task", anybody, false, s.explain},
		{"GET", "/v1/events", "what happened: ?since=<seq>&follow=1, one JSON object a line", anybody, false, s.events},
		{"GET", "/v1/live", "all that changes by the second, as server-sent events", anybody, false, s.liveStream},
		{"GET", "/v1/images", "the images on the node", anybody, false, s.images},
		{"POST", "/v1/images", "import an image archive", nobody, true, s.importImages},
		{"POST", "/v1/images/pull", "get ?image=registry/path@sha256:… from its registry, one JSON object a line", nobody, true, s.pullImage},
		{"POST", "/v1/images/prune", "remove the images that nothing needs", nobody, true, s.pruneImages},
		{"GET", "/v1/volumes", "the folders that apps keep", anybody, false, s.volumes},
		{"DELETE", "/v1/volumes/{app}/{name}", "remove a volume that nothing uses", nobody, true, s.removeVolume},
		{"GET", "/v1/policy", "what governs the node, with the document", nobody, false, s.policy},
		{"POST", "/v1/policy", "apply a signed policy or root document", nobody, true, s.applyPolicy},
		{"POST", "/v1/update", "update the agent to the signed release in ?folder=, one JSON object a line", nobody, true, s.update},
		{"POST", "/v1/update-system", "have RAUC install the system in ?bundle=, one JSON object a line", nobody, true, s.updateSystem},
		{"GET", "/v1/logs/{target...}", "output of app/service or an instance: ?lines=100&follow=1", holders, false, s.logs},
	}
}

// handler serves every route. On the port, which any local user can reach, what is
// private wants a token, or only says where it is answered.
func (s *Server) handler(socket bool) http.Handler {
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		mux.HandleFunc(r.method+" "+r.path, s.answering(r, socket))
	}
	if s.opts.Page != nil {
		mux.Handle("GET /{$}", s.opts.Page)
		mux.Handle("GET /page/", s.opts.Page)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { s.fail(w, s.lost(mux, r)) })
	return mux
}

// elsewhere is what the port says of private verbs.
func (s *Server) elsewhere(r *http.Request) problem {
	p := problem{status: http.StatusForbidden, body: oip.ErrorBody{
		Error:  fmt.Sprintf("%s %s is answered on the unix socket only", r.Method, r.URL.Path),
		Reason: reasonForbidden,
	}}
	if s.opts.Socket != "" {
		p.body.Hint = "as root: curl --unix-socket " + s.opts.Socket + " …, or the holdfast command line"
	}
	return p
}

// answering is how a route is answered at a door.
func (s *Server) answering(r route, socket bool) http.HandlerFunc {
	serve := r.serve
	if r.told {
		serve = s.told(serve)
	}
	switch {
	case socket || r.who == anybody:
		return serve
	case r.who == holders:
		return s.trusted(serve)
	}
	return func(w http.ResponseWriter, r *http.Request) { s.fail(w, s.elsewhere(r)) }
}

// told makes an event of what somebody has the node do.
func (s *Server) told(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.opts.Asked != nil {
			s.opts.Asked(fmt.Sprintf("%s %.200s", r.Method, r.URL.RequestURI()), edge.CallerOf(r.Context()))
		}
		serve(w, r)
	}
}

// lost answers what is no route.
func (s *Server) lost(mux *http.ServeMux, r *http.Request) problem {
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		other := &http.Request{Method: method, URL: r.URL, Host: r.Host}
		if _, pattern := mux.Handler(other); pattern != "/" && pattern != "" {
			return problem{status: http.StatusMethodNotAllowed, allow: method, body: oip.ErrorBody{
				Error: fmt.Sprintf("%s answers %s, not %s", r.URL.Path, method, r.Method), Reason: reasonMethod,
			}}
		}
	}
	return problem{status: http.StatusNotFound, body: oip.ErrorBody{
		Error:  fmt.Sprintf("there is nothing at %.100q", r.URL.Path),
		Reason: reasonNotFound,
		Hint:   "nearest is " + s.nearest(r.URL.Path) + "; GET /v1 lists everything",
	}}
}

// nearest finds the route that begins most like the path.
func (s *Server) nearest(path string) string {
	best, most := "", -1
	for _, r := range s.routes() {
		if n := commonPrefix(path, r.path); n > most {
			best, most = r.method+" "+r.path, n
		}
	}
	return best
}

func commonPrefix(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// index lists the routes.
func (s *Server) index(w http.ResponseWriter, _ *http.Request) {
	type entry struct {
		Method     string `json:"method"`
		Path       string `json:"path"`
		About      string `json:"about"`
		SocketOnly bool   `json:"socketOnly,omitempty"`
		Token      bool   `json:"token,omitempty"` // the port wants one
	}
	var list []entry
	for _, r := range s.routes() {
		list = append(list, entry{r.method, r.path, r.about, r.who == nobody, r.who == holders})
	}
	s.reply(w, http.StatusOK, list)
}

// masked hides the values of environments, and the command lines, from those who
// reach only the port: people do write passwords into Compose files.
func masked(views []edge.WorkloadView) []edge.WorkloadView {
	out := append([]edge.WorkloadView{}, views...)
	for i := range out {
		env := make([]string, len(out[i].Workload.Env))
		for j, entry := range out[i].Workload.Env {
			key, _, _ := strings.Cut(entry, "=")
			env[j] = key + "=…"
		}
		out[i].Workload.Env = env
		out[i].Workload.Entrypoint = hidden(out[i].Workload.Entrypoint)
		out[i].Workload.Command = hidden(out[i].Workload.Command)
	}
	return out
}

// hidden stands for a command line that is there.
func hidden(words []string) []string {
	if len(words) == 0 {
		return words
	}
	return []string{"…"}
}
