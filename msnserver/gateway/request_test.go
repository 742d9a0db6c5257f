package gateway

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestReadRequest(t *testing.T) {
	poll := request{method: "POST", keep: true, action: "poll", session: "12", number: 3}
	with := func(change func(*request)) request {
		r := poll
		change(&r)
		return r
	}
	for in, want := range map[string]request{
		"POST /gateway/gateway.dll?Action=open&Server=NS&IP=messenger.hotmail.com HTTP/1.1\r\nHost: gateway.messenger.hotmail.com\r\nContent-Length: 4\r\n\r\nVER next": {
			method: "POST", host: "gateway.messenger.hotmail.com", keep: true, action: "open", server: "NS", ip: "messenger.hotmail.com", body: []byte("VER ")},
		"POST http://gw.test:8080/gateway/gateway.dll?Action=poll&SessionID=12.3 HTTP/1.1\r\nHost: other\r\nProxy-Connection: Keep-Alive\r\n\r\n": with(func(r *request) { r.host = "gw.test:8080" }),
		"post //Gateway//GATEWAY.dll?lifespan=20&sessionid=12.3&ACTION=Poll HTTP/1.1\n\n":                                                         with(func(r *request) { r.lifespan = 20 * time.Second }),
		"\r\nPOST /gateway/gateway.dll?Action=poll&SessionID=12%2E3&Lifespan=4000000000 HTTP/1.1\r\n\r\n":                                         with(func(r *request) { r.lifespan = maxLifespan }),
		"POST /gateway/gateway.dll?Action=poll&SessionID=12.3 HTTP/1.0\r\n\r\n":                                                                   with(func(r *request) { r.keep = false }),
		"POST /gateway/gateway.dll?Action=poll&SessionID=12.3 HTTP/1.0\r\nProxy-Connection: Keep-Alive\r\n\r\n":                                   poll,
		"POST /gateway/gateway.dll?Action=poll&SessionID=12.3 HTTP/1.1\r\nConnection: close\r\n\r\n":                                              with(func(r *request) { r.keep = false }),
		"GET /gateway/gateway.dll?Action=poll&SessionID=12.3\r\n\r\n":                                                                             with(func(r *request) { r.method, r.keep = "GET", false }),
		"POST /gateway/gateway.dll?SessionID=12 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nCHG\r\n2;x=y\r\n 1\r\n0\r\nTrailer: x\r\n\r\n": with(func(r *request) { r.action, r.number, r.body = "", 0, []byte("CHG 1") }),
		"POST /gateway/gateway.dll?SessionID=&Action=open&Server=sb HTTP/1.1\r\nno colon\r\n\r\n":                                                 {method: "POST", keep: true, action: "open", server: "SB"},
		"POST /gateway/gateway.dll HTTP/1.1\r\n\r\n":                                                                                              {method: "POST", keep: true, malformed: "SessionID is missing"},
		"POST /gateway/gateway.dll?Action=open&Server=P2P HTTP/1.1\r\n\r\n":                                                                       {method: "POST", keep: true, action: "open", server: "P2P", malformed: "Server is neither NS nor SB"},
		"POST /gateway/gateway.dll?Action=close&SessionID=12.3 HTTP/1.1\r\n\r\n":                                                                  with(func(r *request) { r.action, r.malformed = "close", "Action is neither open nor poll" }),
		"POST /gateway/gateway.dll?Action=poll&SessionID=12.3&Lifespan=-1 HTTP/1.1\r\n\r\n":                                                       with(func(r *request) { r.malformed = "Lifespan is no number of seconds" }),
		"POST /gateway/gateway.dll?Action=poll&SessionID=12.99999999999999999999999 HTTP/1.1\r\n\r\n":                                             with(func(r *request) { r.number = 1<<64 - 1 }),
	} {
		if got, err := readRequest(bufio.NewReader(strings.NewReader(in)), io.Discard); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q:\n%+v, %v\nwant\n%+v", in, got, err, want)
		}
	}
}

func TestReadRequestRefuses(t *testing.T) {
	for in, want := range map[string]error{
		"": io.EOF, "POST\r\n\r\n": errMalformed, "POST / HTTP/1.1\r\n": io.EOF,
		"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n":                                                                                            errMalformed,
		"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n":                                                                                           errMalformed,
		"POST / HTTP/1.1\r\nContent-Length: 131073\r\n\r\n":                                                                                       errTooLarge,
		"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc":                                                                                         io.ErrUnexpectedEOF,
		"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n":                                                         errMalformed,
		"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n":                                                                                      errMalformed,
		"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n":                                                                             errMalformed,
		"POST / HTTP/1.1\r\n" + strings.Repeat("X: y\r\n", maxHead/6):                                                                             errTooLarge,
		"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1000\r\n"+strings.Repeat("x", 0x1000)+"\r\n", 33) + "0\r\n\r\n": errTooLarge,
	} {
		if _, err := readRequest(bufio.NewReader(strings.NewReader(in)), io.Discard); !errors.Is(err, want) {
			t.Errorf("%.60q: %v, want %v", in, err, want)
		}
	}
}

func TestExpect(t *testing.T) {
	var out bytes.Buffer
	in := "POST /gateway/gateway.dll?SessionID=1.1 HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc"
	r, err := readRequest(bufio.NewReader(strings.NewReader(in)), &out)
	if err != nil || string(r.body) != "abc" || out.String() != "HTTP/1.1 100 Continue\r\n\r\n" {
		t.Errorf("%+v, %v, %q", r, err, out.String())
	}
}

func TestWants(t *testing.T) {
	for line, want := range map[string]bool{
		"POST /gateway/gateway.dll?Action=open HTTP/1.1": true, "POST http://x//GATEWAY/gateway.dll HTTP/1.0": true, "GET /gateway/gateway.dll": true,
		"POST /gateway/gateway.dll/x HTTP/1.1": false, "POST / HTTP/1.1": false, "": false, "POST": false,
		"CONNECT gateway.messenger.hotmail.com:80 HTTP/1.1": false, "GET http://x HTTP/1.1": false,
	} {
		if Wants(line) != want {
			t.Errorf("%q: %v", line, !want)
		}
	}
}

// FuzzReadRequest reads anything as requests one after the other.
func FuzzReadRequest(f *testing.F) {
	for _, s := range []string{
		"POST /gateway/gateway.dll?Action=open&Server=NS&IP=x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nVER",
		"POST http://h/gateway/gateway.dll?Action=poll&SessionID=1.2&Lifespan=9 HTTP/1.0\r\nProxy-Connection: keep-alive\r\n\r\n",
		"GET /gateway/gateway.dll\n\n", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"POST %zz?%zz=%zz&&== HTTP/1.1\r\n: \r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		br := bufio.NewReader(bytes.NewReader(b))
		for {
			r, err := readRequest(br, io.Discard)
			if err != nil {
				return
			}
			if len(r.body) > maxBody || r.lifespan < 0 || r.lifespan > maxLifespan {
				t.Errorf("%+v", r)
			}
		}
	})
}
