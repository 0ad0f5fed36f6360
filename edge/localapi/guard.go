package localapi

import (
	"fmt"
	"mime"
	"net/http"
	"strings"

	"holdfast/edge/oip"
)

// guard lets only requests through that were meant for this port by a program on
// this machine, or by the page it serves. A page of elsewhere in a browser could otherwise
// reach it under a name of its own that resolves to loopback, or post to it blindly.
func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secure(w.Header())
		if p := strange(r); p != nil {
			write(w, *p)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// secure tells a browser to take an answer for what it says it is, and for this place only.
func secure(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// strange says what is wrong with where a request comes from; nil when nothing is.
func strange(r *http.Request) *problem {
	origin, site := r.Header.Get("Origin"), r.Header.Get("Sec-Fetch-Site")
	switch {
	case !isLoopback(hostOf(r.Host)):
		return forbidden("Host", "Host %.100q is no name of this machine's loopback", r.Host)
	case origin != "" && !strings.EqualFold(origin, "http://"+r.Host):
		return forbidden("Origin", "pages of %.100q may not use this API", origin)
	case site != "" && site != "same-origin" && site != "none" && !followsLink(r):
		return forbidden("Sec-Fetch-Site", "pages of elsewhere may not use this API")
	case r.Method == http.MethodPost && isForm(r):
		return &problem{status: http.StatusUnsupportedMediaType, body: oip.ErrorBody{
			Error:  fmt.Sprintf("the form of a web page is not answered (%.100s)", r.Header.Get("Content-Type")),
			Reason: reasonForbidden, Field: "Content-Type", Hint: "send JSON with Content-Type: application/json",
		}}
	}
	return nil
}

// followsLink tells whether a person goes to the page by a link of elsewhere.
func followsLink(r *http.Request) bool {
	return r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
}

// isForm tells whether a page may have sent the request without asking anybody: those are
// the types of content a form has. Of the first of them programs say they send it when
// they say nothing (curl -d), and no browser looks like one.
func isForm(r *http.Request) bool {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return false
	}
	switch kind {
	case "application/x-www-form-urlencoded":
		return r.Header.Get("Referer") != "" || strings.HasPrefix(r.UserAgent(), "Mozilla/")
	case "multipart/form-data", "text/plain":
		return true
	}
	return false
}

func forbidden(field, format string, args ...any) *problem {
	return &problem{status: http.StatusForbidden, body: oip.ErrorBody{
		Error: fmt.Sprintf(format, args...), Reason: reasonForbidden, Field: field,
	}}
}

// hostOf is the host of a host and perhaps a port.
func hostOf(hostport string) string {
	if i := strings.LastIndexByte(hostport, ':'); i >= 0 && !strings.HasSuffix(hostport, "]") {
		return hostport[:i]
	}
	return hostport
}
