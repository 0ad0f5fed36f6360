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
	private      bool // answered on the unix socket only
	serve        http.HandlerFunc
}

func (s *Server) routes() []route {
	return []route{
		{"GET", "/v2", "the server and its extensions", false, s.serverMetadata},
		{"GET", "/v2/health/live", "whether the agent is up", false, s.live},
		{"GET", "/v2/health/ready", "whether the node can take tasks", false, s.ready},
		{"GET", "/v2/models/{model}", "a model's inputs and outputs", false, s.modelMetadata},
		{"GET", "/v2/models/{model}/versions/{version}", "the same for one version", false, s.modelMetadata},
		{"GET", "/v2/models/{model}/ready", "whether a model can take tasks", false, s.modelReady},
		{"GET", "/v2/models/{model}/versions/{version}/ready", "the same for one version", false, s.modelReady},
		{"POST", "/v2/models/{model}/infer", "run a task", false, s.infer},
		{"POST", "/v2/models/{model}/versions/{version}/infer", "run a task on one version", false, s.infer},

		{"GET", "/metrics", "figures for Prometheus", false, s.metrics},

		{"GET", "/v1", "this list", false, s.index},
		{"GET", "/v1/status", "the node in one document", false, s.status},
		{"GET", "/v1/vitals", "what the node measures about itself", false, s.vitals},
		{"GET", "/v1/models", "the names of the models served here", false, s.models},
		{"GET", "/v1/tasks", "running, waiting and recent tasks", false, s.tasks},
		{"POST", "/v1/tasks/{id}/cancel", "give a task up", true, s.cancel},
		{"GET", "/v1/workloads", "workloads and their instances", false, s.workloads},
		{"POST", "/v1/restart", "restart ?target=app/service or an instance", true, s.restart},
		{"POST", "/v1/drain", "take no new tasks and wait for those inside", true, s.drain},
		{"POST", "/v1/undrain", "take tasks again", true, s.undrain},
		{"POST", "/v1/explain", "what would become of a task", false, s.explain},
		{"GET", "/v1/events", "what happened: ?since=<seq>&follow=1, one JSON object a line", false, s.events},
		{"GET", "/v1/live", "all that changes by the second, as server-sent events", false, s.liveStream},
		{"GET", "/v1/images", "the images on the node", false, s.images},
		{"POST", "/v1/images", "import an image archive", true, s.importImages},
		{"POST", "/v1/images/pull", "get ?image=registry/path@sha256:… from its registry, one JSON object a line", true, s.pullImage},
		{"POST", "/v1/images/prune", "remove the images that nothing needs", true, s.pruneImages},
		{"GET", "/v1/volumes", "the folders that apps keep", false, s.volumes},
		{"DELETE", "/v1/volumes/{app}/{name}", "remove a volume that nothing uses", true, s.removeVolume},
		{"GET", "/v1/policy", "what governs the node, with the document", true, s.policy},
		{"POST", "/v1/policy", "apply a signed policy or root document", true, s.applyPolicy},
		{"GET", "/v1/logs/{target...}", "output of app/service or an instance: ?lines=100&follow=1", true, s.logs},
	}
}

// handler serves every route. On the port, which any local user can reach, what
// is private only says where it is answered.
func (s *Server) handler(private bool) http.Handler {
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		serve := r.serve
		if r.private && !private {
			serve = s.elsewhere
		}
		mux.HandleFunc(r.method+" "+r.path, serve)
	}
	if s.opts.Page != nil {
		mux.Handle("GET /{$}", s.opts.Page)
		mux.Handle("GET /page/", s.opts.Page)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { s.fail(w, s.lost(mux, r)) })
	return mux
}

// elsewhere answers private verbs on the port.
func (s *Server) elsewhere(w http.ResponseWriter, r *http.Request) {
	p := problem{status: http.StatusForbidden, body: oip.ErrorBody{
		Error:  fmt.Sprintf("%s %s is answered on the unix socket only", r.Method, r.URL.Path),
		Reason: reasonForbidden,
	}}
	if s.opts.Socket != "" {
		p.body.Hint = "as root: curl --unix-socket " + s.opts.Socket + " …, or the holdfast command line"
	}
	s.fail(w, p)
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
	}
	var list []entry
	for _, r := range s.routes() {
		list = append(list, entry{r.method, r.path, r.about, r.private})
	}
	s.reply(w, http.StatusOK, list)
}

// guard lets only requests through that were meant for this port by a program on
// this machine. A page in a browser could otherwise reach it under a name of its
// own that resolves to loopback, or post to it blindly.
func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLoopback(hostOf(r.Host)) {
			write(w, problem{status: http.StatusForbidden, body: oip.ErrorBody{
				Error:  fmt.Sprintf("Host %.100q is no name of this machine's loopback", r.Host),
				Reason: reasonForbidden, Field: "Host",
			}})
			return
		}
		if origin := r.Header.Get("Origin"); origin != "" && !strings.EqualFold(origin, "http://"+r.Host) {
			write(w, problem{status: http.StatusForbidden, body: oip.ErrorBody{
				Error:  fmt.Sprintf("pages of %.100q may not use this API", origin),
				Reason: reasonForbidden, Field: "Origin",
			}})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// hostOf is the host of a host and perhaps a port.
func hostOf(hostport string) string {
	if i := strings.LastIndexByte(hostport, ':'); i >= 0 && !strings.HasSuffix(hostport, "]") {
		return hostport[:i]
	}
	return hostport
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
