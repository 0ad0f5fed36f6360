package localapi

import (
	"bytes"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// plainReader reads the inference requests of a connection that are there whole,
// head and body, and in whose head nothing needs thought. Most callers send the
// same head again and again; it is read once.
type plainReader struct {
	head  []byte        // the latest
	known *http.Request // what it says
}

// read gives the request, still without its body; nil for all that are not plain.
func (p *plainReader) read(text []byte) (r *http.Request, body []byte) {
	end := bytes.Index(text, []byte("\r\n\r\n"))
	if end < 0 {
		return nil, nil
	}
	head, body := text[:end], text[end+len("\r\n\r\n"):]
	if p.known == nil || !bytes.Equal(head, p.head) {
		if r = plainRequest(string(head)); r == nil {
			return nil, nil
		}
		p.head, p.known = append(p.head[:0], head...), r
	}
	if p.known.ContentLength != int64(len(body)) {
		return nil, nil
	}
	return p.known, body
}

// plainRequest reads a head; nil when it is not plain.
func plainRequest(head string) *http.Request {
	first, fields, _ := strings.Cut(head, "\r\n")
	model := plainModel(first)
	if model == "" {
		return nil
	}
	r := &http.Request{
		Method: http.MethodPost, URL: &url.URL{Path: "/v2/models/" + model + "/infer"},
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: make(http.Header),
	}
	for line := range strings.SplitSeq(fields, "\r\n") {
		name, value, sound := plainField(line)
		if !sound || r.Header[name] != nil {
			return nil
		}
		r.Header[name] = []string{value}
	}
	length := r.Header.Get("Content-Length")
	r.ContentLength, _ = strconv.ParseInt(length, 10, 64)
	if r.Host = r.Header.Get("Host"); !plainHost(r.Host) || length != strconv.FormatInt(r.ContentLength, 10) {
		return nil
	}
	delete(r.Header, "Host")
	r.SetPathValue("model", model)
	return r
}

// plainModel is the model of the request line of an inference; "" for another
// line, or a name that would have to be decoded.
func plainModel(line string) string {
	rest, isModel := strings.CutPrefix(line, "POST /v2/models/")
	model, isInfer := strings.CutSuffix(rest, "/infer HTTP/1.1")
	if !isModel || !isInfer || strings.Trim(model, ".") == "" || !soundTenant(model) {
		return ""
	}
	return model
}

// plainHost tells whether a host is one that net/http lets through as well.
func plainHost(host string) bool {
	if host == "" {
		return false
	}
	for _, b := range []byte(host) {
		switch {
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9':
		case b == '.', b == '-', b == '_', b == ':', b == '[', b == ']':
		default:
			return false
		}
	}
	return true
}

// plainField parts a header line; false for one that is not as it should be, or
// asks for more than an answer.
func plainField(line string) (name, value string, sound bool) {
	name, value, found := strings.Cut(line, ":")
	if !found || name == "" {
		return "", "", false
	}
	for _, b := range []byte(name) {
		if b != '-' && (b < '0' || b > '9') && (b|0x20 < 'a' || b|0x20 > 'z') {
			return "", "", false
		}
	}
	for _, b := range []byte(value) {
		if b < ' ' && b != '\t' || b > '~' {
			return "", "", false
		}
	}
	name, value = http.CanonicalHeaderKey(name), strings.Trim(value, " \t")
	switch name {
	case "Transfer-Encoding", "Trailer", "Expect", "Upgrade", "Pragma":
		return "", "", false
	case "Connection":
		return name, value, strings.EqualFold(value, "keep-alive")
	}
	return name, value, true
}
