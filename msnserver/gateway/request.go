package gateway

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Limits of a request, in bytes.
const (
	maxHead = 16 << 10
	maxBody = 128 << 10
)

// Errors of readRequest that a client is answered.
var (
	errMalformed = errors.New("the request can't be understood")
	errTooLarge  = errors.New("the request is too large")
)

// request is what a client asks of the gateway.
type request struct {
	method string
	host   string // whom the client thinks it talks to, with the port if it named one; "" unknown
	keep   bool   // the connection stays open

	action    string // in lower case: open, poll or ""
	server    string // of open, in upper case: NS or SB
	ip        string // of open
	session   string // id of the session, without the number
	number    uint64 // of the newest answer the client has
	lifespan  time.Duration
	body      []byte
	malformed string // why the query makes no sense, "" when it does
}

// readRequest reads one request leniently: LF ends a line as well as CR LF, the
// target may be absolute, the HTTP version may be missing, header names have
// any case. It tells a client that waits for that to go on with its body.
func readRequest(br *bufio.Reader, w io.Writer) (r request, err error) {
	head, err := readHead(br)
	if err != nil {
		return r, err
	}
	f := strings.Fields(head.line)
	if len(f) < 2 {
		return r, errMalformed
	}
	r.method = strings.ToUpper(f[0])
	version := "HTTP/0.9"
	if len(f) > 2 {
		version = strings.ToUpper(f[2])
	}
	r.keep = keepsAlive(version, head)
	authority, _, query := splitTarget(f[1])
	if r.host = authority; r.host == "" {
		r.host = head.get("Host")
	}
	r.ask(query)
	if strings.EqualFold(head.get("Expect"), "100-continue") {
		if _, err := io.WriteString(w, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
			return r, err
		}
	}
	r.body, err = readBody(br, head)
	return r, err
}

// keepsAlive follows HTTP/1.1, and what HTTP/1.0 and clients behind a proxy
// made of it.
func keepsAlive(version string, h head) bool {
	wish := h.get("Connection")
	if wish == "" {
		wish = h.get("Proxy-Connection")
	}
	wish = strings.ToLower(wish)
	switch version {
	case "HTTP/1.1":
		return !strings.Contains(wish, "close")
	case "HTTP/1.0":
		return strings.Contains(wish, "keep-alive")
	}
	return false
}

// splitTarget splits an origin-form or absolute-form target. The path is in
// lower case and without doubled slashes.
func splitTarget(target string) (authority, path, query string) {
	path, query, _ = strings.Cut(target, "?")
	if _, rest, ok := strings.Cut(path, "://"); ok {
		authority, path, _ = strings.Cut(rest, "/")
		path = "/" + path
	}
	for strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	return authority, strings.ToLower(path), query
}

// ask takes over what the query says. Names and keywords have any case.
func (r *request) ask(query string) {
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if v, err := url.PathUnescape(value); err == nil {
			value = v
		}
		switch strings.ToLower(name) {
		case "action":
			r.action = strings.ToLower(value)
		case "server":
			r.server = strings.ToUpper(value)
		case "ip":
			r.ip = value
		case "sessionid":
			id, number, _ := strings.Cut(value, ".")
			r.session = id
			r.number, _ = strconv.ParseUint(number, 10, 64) // 0, which is nobody's, when it is none
		case "lifespan":
			seconds, err := strconv.ParseUint(value, 10, 32)
			if err != nil {
				r.malformed = "Lifespan is no number of seconds"
				continue
			}
			r.lifespan = min(time.Duration(seconds)*time.Second, maxLifespan)
		}
	}
	switch {
	case r.action != "open" && r.action != "poll" && r.action != "":
		r.malformed = "Action is neither open nor poll"
	case r.action == "open" && r.server != "NS" && r.server != "SB":
		r.malformed = "Server is neither NS nor SB"
	case r.action != "open" && r.session == "":
		r.malformed = "SessionID is missing"
	}
}

// head is a request line with header lines.
type head struct {
	line   string
	header [][2]string
}

// get is the value of the first header of that name.
func (h head) get(name string) string {
	for _, f := range h.header {
		if strings.EqualFold(f[0], name) {
			return f[1]
		}
	}
	return ""
}

func readHead(br *bufio.Reader) (h head, err error) {
	left := maxHead
	for h.line == "" {
		if h.line, err = readLine(br, &left); err != nil {
			return h, err
		}
	}
	for {
		line, err := readLine(br, &left)
		if err != nil || line == "" {
			return h, err
		}
		if name, value, ok := strings.Cut(line, ":"); ok {
			h.header = append(h.header, [2]string{strings.TrimSpace(name), strings.TrimSpace(value)})
		}
	}
}

// readLine reads a line without its end and takes its length off left.
func readLine(br *bufio.Reader, left *int) (string, error) {
	var line []byte
	for {
		part, err := br.ReadSlice('\n')
		if *left -= len(part); *left < 0 {
			return "", errTooLarge
		}
		line = append(line, part...)
		if err == nil {
			return strings.TrimRight(string(line), "\r\n"), nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return "", err
		}
	}
}

// readBody reads as much as the header says, which some proxies say in chunks.
func readBody(br *bufio.Reader, h head) ([]byte, error) {
	length, coding := h.get("Content-Length"), h.get("Transfer-Encoding")
	switch {
	case coding == "" && length == "":
		return nil, nil
	case coding == "":
		n, err := strconv.ParseUint(length, 10, 31)
		if err != nil {
			return nil, errMalformed
		}
		if n > maxBody {
			return nil, errTooLarge
		}
		body := make([]byte, n)
		_, err = io.ReadFull(br, body)
		return body, err
	case length != "" || !strings.EqualFold(coding, "chunked"):
		return nil, errMalformed
	}
	body, err := io.ReadAll(io.LimitReader(httputil.NewChunkedReader(br), maxBody+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errMalformed, err)
	}
	if len(body) > maxBody {
		return nil, errTooLarge
	}
	for left := maxHead; ; {
		if line, err := readLine(br, &left); err != nil || line == "" {
			return body, err
		}
	}
}
