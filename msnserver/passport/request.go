package passport

import (
	"bufio"
	"errors"
	"io"
	"strconv"
	"strings"
)

// Request is an HTTP request as far as this package needs one.
type Request struct {
	Method, Target string
	Version        string // "" when the line had none
	Body           []byte
	header         [][2]string
}

// Get is the value of the first header of that name, in whatever case.
func (r Request) Get(name string) string {
	for _, h := range r.header {
		if strings.EqualFold(h[0], name) {
			return h[1]
		}
	}
	return ""
}

// Limits of ReadRequest, in bytes.
const (
	maxHeader = 32 << 10
	maxBody   = 64 << 10
)

// ErrRequest means that what came is no request this package could read.
var ErrRequest = errors.New("malformed request")

// ReadRequest reads a request leniently: LF ends a line as well as CR LF, the
// HTTP version may be missing, a header line without a colon is skipped. A client
// that waits for the word to send its body gets it on w.
func ReadRequest(br *bufio.Reader, w io.Writer) (r Request, err error) {
	left := maxHeader
	line, err := readLine(br, &left)
	if err != nil {
		return r, err
	}
	f := strings.Fields(line)
	if len(f) < 2 {
		return r, ErrRequest
	}
	r.Method, r.Target = f[0], f[1]
	if len(f) > 2 {
		r.Version = f[2]
	}
	for {
		line, err := readLine(br, &left)
		if err != nil {
			return r, err
		}
		if line == "" {
			break
		}
		if name, value, ok := strings.Cut(line, ":"); ok {
			r.header = append(r.header, [2]string{strings.TrimSpace(name), strings.TrimSpace(value)})
		}
	}
	if l := r.Get("Content-Length"); l != "" {
		n, err := strconv.ParseUint(l, 10, 32)
		if err != nil || n > maxBody {
			return r, ErrRequest
		}
		if strings.EqualFold(r.Get("Expect"), "100-continue") {
			if _, err := io.WriteString(w, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
				return r, err
			}
		}
		r.Body, err = io.ReadAll(io.LimitReader(br, int64(n)))
		if err == nil && len(r.Body) < int(n) {
			err = io.ErrUnexpectedEOF
		}
		return r, err
	}
	return r, nil
}

// readLine reads a line without its end and takes its length off left.
func readLine(br *bufio.Reader, left *int) (string, error) {
	var line []byte
	for {
		part, err := br.ReadSlice('\n')
		if *left -= len(part); *left < 0 {
			return "", ErrRequest
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
