package front

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// plain makes h fit old clients: doubled slashes are folded and every answer
// has a Content-Length.
func plain(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for strings.Contains(r.URL.Path, "//") {
			r.URL.Path = strings.ReplaceAll(r.URL.Path, "//", "/")
			r.URL.RawPath = ""
		}
		m := measured{ResponseWriter: w}
		h.ServeHTTP(&m, r)
		m.flush()
	})
}

// measured holds an answer back until its length is known. An answer that
// states its length itself passes through.
type measured struct {
	http.ResponseWriter
	status  int
	body    bytes.Buffer
	through bool
}

func (m *measured) WriteHeader(status int) {
	if m.status != 0 {
		return
	}
	m.status = status
	if m.Header().Get("Content-Length") != "" {
		m.through = true
		m.ResponseWriter.WriteHeader(status)
	}
}

func (m *measured) Write(b []byte) (int, error) {
	m.WriteHeader(http.StatusOK)
	if m.through {
		return m.ResponseWriter.Write(b)
	}
	return m.body.Write(b)
}

// Unwrap lets http.ResponseController reach the connection's deadlines.
func (m *measured) Unwrap() http.ResponseWriter { return m.ResponseWriter }

func (m *measured) flush() {
	if m.through {
		return
	}
	if m.status == 0 {
		m.status = http.StatusOK
	}
	if m.status >= 200 && m.status != http.StatusNoContent && m.status != http.StatusNotModified {
		m.Header().Set("Content-Length", strconv.Itoa(m.body.Len()))
	}
	m.ResponseWriter.WriteHeader(m.status)
	m.ResponseWriter.Write(m.body.Bytes())
}

// rootPath is where PCs get what they must trust. Internet Explorer offers to
// install a file of that name and type.
const rootPath = "/nudge.crt"

// withRoot serves the authority's certificate beside pages.
func withRoot(pages http.Handler, cert *Certificate) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != rootPath {
			pages.ServeHTTP(w, r)
			return
		}
		root, err := cert.Root(r.Context())
		if err != nil {
			http.Error(w, "The box has no certificate; its log says why.", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/x-x509-ca-cert")
		w.Write(root)
	})
}

// Welcome is the page of a server without any others.
func Welcome(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/" {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	io.WriteString(w, "<!DOCTYPE html>\n<title>Nudge</title>\n<h1>Nudge</h1>\n"+
		"<p>This is an MSN Messenger server for the home network. Point your client at this address and sign in.</p>\n"+
		"<p>Messenger 5 and later sign in over an encrypted connection. For that, <a href=\""+rootPath+"\">install the box's certificate</a>"+
		" for the computer, under Trusted Root Certification Authorities.</p>\n")
}
