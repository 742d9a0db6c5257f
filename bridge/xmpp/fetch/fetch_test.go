package fetch

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"nudge/bridge/im"
)

type prefix string

func (prefix) Network() string  { return "ip+net" }
func (p prefix) String() string { return string(p) }

func TestPublic(t *testing.T) {
	own := []net.Addr{prefix("127.0.0.1/8"), prefix("192.168.1.20/24"), prefix("81.2.3.4/29"), prefix("2a01:4f8:1:2::5/64"), prefix("fe80::1/64")}
	for addr, want := range map[string]bool{
		"8.8.8.8": true, "93.184.216.34": true, "2606:2800:220:1::1": true, "81.2.3.8": true, "2a01:4f8:2:2::5": true,
		"127.0.0.1": false, "127.9.9.9": false, "0.0.0.0": false, "0.1.2.3": false, "10.1.2.3": false, "172.16.0.1": false, "172.31.255.255": false,
		"192.168.1.1": false, "192.168.200.1": false, "169.254.169.254": false, "100.64.0.1": false, "100.127.255.255": false, "192.0.0.8": false,
		"198.18.0.1": false, "224.0.0.1": false, "239.1.1.1": false, "240.0.0.1": false, "255.255.255.255": false, "81.2.3.1": false,
		"::": false, "::1": false, "::ffff:10.0.0.1": false, "::ffff:127.0.0.1": false, "::127.0.0.1": false, "64:ff9b::a00:1": false, "64:ff9b:1::1": false,
		"fc00::1": false, "fd12::1": false, "fe80::1": false, "fe80::1%eth0": false, "fec0::1": false, "ff02::1": false,
		"2001::1": false, "2001:db8::1": false, "2002:a00:1::1": false, "2a01:4f8:1:2::1": false, "2a01:4f8:1:ffff::1": false, "5f00::1": false,
	} {
		if got := public(netip.MustParseAddr(addr), own); got != want {
			t.Errorf("%s: public %v", addr, got)
		}
	}
	if public(netip.Addr{}, nil) {
		t.Error("no address is public")
	}
}

func TestUsable(t *testing.T) {
	for address, want := range map[string]bool{
		"https://example.org/a.jpg": true, "http://example.org:5280/a%20b": true, "https://[2001:db8::1]/": true,
		"ftp://example.org/a": false, "file:///etc/passwd": false, "https:///a": false, "https:example.org": false, "javascript:alert(1)": false,
		"https://user:secret@example.org/": false, "": false, "https://example.org/" + strings.Repeat("a", maxURL): false, "https://exa mple.org/": false,
		"aesgcm://example.org/a": false, "gopher://127.0.0.1:1863/": false,
	} {
		if got := Usable(address); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
}

// TestGet runs against a server on loopback, which is public to nobody.
func TestGet(t *testing.T) {
	asked := 0
	mux := http.NewServeMux()
	mux.HandleFunc("/a.png", func(w http.ResponseWriter, _ *http.Request) { asked++; io.WriteString(w, "bytes") })
	mux.HandleFunc("/secret", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusForbidden) })
	s := httptest.NewServer(mux)
	defer s.Close()
	elsewhere := httptest.NewServer(mux)
	defer elsewhere.Close()
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/a.png", http.StatusFound) })
	mux.HandleFunc("/inside", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL+"/a.png", http.StatusFound)
	})
	mux.HandleFunc("/round", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/round", http.StatusFound) })
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
	})
	believed := Config{Hosts: []string{strings.TrimPrefix(s.URL, "http://")}}
	get := func(path string, c Config) (string, error) {
		r, f, err := Get(t.Context(), s.URL+path, c)
		if err != nil {
			return "", err
		}
		defer r.Close()
		b, err := io.ReadAll(r)
		if f.Size != int64(len(b)) || f.Ref != s.URL+path {
			t.Errorf("%s: %+v for %d bytes", path, f, len(b))
		}
		return string(b), err
	}
	for _, path := range []string{"/a.png", "/moved"} {
		if text, err := get(path, believed); text != "bytes" || err != nil {
			t.Errorf("%s: %q, %v", path, text, err)
		}
	}
	no := new(im.Refused)
	for path, words := range map[string]string{"/none": "any more", "/secret": "403 Forbidden", "/inside": "file_hosts"} {
		if _, err := get(path, believed); !errors.As(err, &no) || !strings.Contains(no.Text, words) {
			t.Errorf("%s: %v, want %q", path, err, words)
		}
	}
	for _, path := range []string{"/round", "/file"} {
		if _, err := get(path, believed); err == nil || errors.As(err, &no) {
			t.Errorf("%s: %v", path, err)
		}
	}
	before := asked
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"} {
		if _, _, err := Get(t.Context(), "http://"+host+":"+port+"/a.png", Config{Hosts: []string{"example.org"}}); !errors.As(err, &no) {
			t.Errorf("%s: %v, want a refusal", host, err)
		}
	}
	if asked != before {
		t.Error("the home network was asked")
	}
}

func FuzzUsable(f *testing.F) {
	f.Add("https://example.org/a.jpg")
	f.Add("http://[::1%25eth0]:80/\x00")
	f.Fuzz(func(t *testing.T, s string) {
		if Usable(s) && !strings.HasPrefix(strings.ToLower(s), "http") {
			t.Errorf("%q would be fetched", s)
		}
	})
}
