package soap

import (
	"context"
	"encoding/xml"
	"flag"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// document is what clients read of the configuration.
type document struct {
	XMLName xml.Name `xml:"MsgrConfig"`
	Tabs    []struct {
		Content string `xml:"contenturl"`
		Name    string `xml:"name"`
		Site    string `xml:"siteid"`
	} `xml:"TabConfig>msntabdata>tab"`
	Today string `xml:"LocalizedConfig>MsnTodayConfig>MsnTodayURL"`
}

// answer asks for the configuration and reads it as a client of its kind does.
func answer(t *testing.T, method, target, host string) (text string, d document) {
	t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader("<not>even XML"))
	r.Host = host
	w := httptest.NewRecorder()
	WithConfig(http.NotFoundHandler()).ServeHTTP(w, r)
	text = w.Body.String()
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/xml; charset=utf-8" {
		t.Fatalf("%s %s: %d %v\n%s", method, target, w.Code, w.Header(), text)
	}
	inner := text
	if method == http.MethodPost {
		var e struct {
			XMLName xml.Name `xml:"http://schemas.xmlsoap.org/soap/envelope/ Envelope"`
			Result  string   `xml:"Body>GetClientConfigResponse>GetClientConfigResult"`
		}
		if err := xml.Unmarshal([]byte(text), &e); err != nil {
			t.Fatal(err)
		}
		inner = e.Result
	}
	if err := xml.Unmarshal([]byte(inner), &d); err != nil {
		t.Fatalf("%v\n%s", err, inner)
	}
	return text, d
}

// TestConfig compares both shapes with golden files, byte for byte: clients keep
// what they are told.
func TestConfig(t *testing.T) {
	for file, c := range map[string]struct{ method, target string }{
		"document.xml": {"GET", "/Config/MsgrConfig.asmx?op=GetClientConfig&Country=US&CLCID=0409&PLCID=0409&GeoID=244&ver=7.5.324"},
		"envelope.xml": {"POST", "/config/MsgrConfig.asmx?op=GetClientConfig"},
	} {
		got, d := answer(t, c.method, c.target, "config.messenger.msn.com")
		const today = "http://config.messenger.msn.com/today"
		if len(d.Tabs) != 1 || d.Tabs[0].Content != today || d.Tabs[0].Name != "MSN Today" || d.Tabs[0].Site != "0" || d.Today != today {
			t.Errorf("%s: %+v", file, d)
		}
		path := "testdata/" + file
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil || got != string(want) {
			t.Errorf("%v: %s differs:\n%s", err, path, got)
		}
	}
}

// The tab leads to where the client found us; a name that is none is not repeated.
func TestSite(t *testing.T) {
	for _, c := range []struct{ host, local, want string }{
		{"nudge", "192.168.1.20:80", "http://nudge"},
		{"192.168.1.20:8080", "192.168.1.20:8080", "http://192.168.1.20:8080"},
		{"[fd00::1]:8080", "", "http://[fd00::1]:8080"},
		{"", "192.168.1.20:80", "http://192.168.1.20"},
		{"", "[fd00::1]:443", "http://[fd00::1]"},
		{"", "192.168.1.20:8080", "http://192.168.1.20:8080"},
		{"", "[fe80::1%eth0]:80", "http://nudge"},
		{"]]><x>", "192.168.1.20:80", "http://192.168.1.20"},
		{"a/b", "", "http://nudge"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = c.host
		if at, err := net.ResolveTCPAddr("tcp", c.local); err == nil && c.local != "" {
			r = r.WithContext(withLocal(r, at))
		}
		if got := site(r); got != c.want {
			t.Errorf("%q at %q: %s, want %s", c.host, c.local, got, c.want)
		}
	}
}

// What is not asked for is left to others.
func TestOthers(t *testing.T) {
	h := WithConfig(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "next") }))
	for target, want := range map[string]string{"GET /": "next", "POST /Config/Other.asmx": "next", "GET /config/msgrconfig.asmx/x": "next", "DELETE /Config/MsgrConfig.asmx": "only GET and POST\n"} {
		method, path, _ := strings.Cut(target, " ")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
		if got := w.Body.String(); got != want {
			t.Errorf("%s: %q", target, got)
		}
	}
}

// FuzzHost: whatever a client says its server is called, the document can be read,
// and leads to one host.
func FuzzHost(f *testing.F) {
	for _, s := range []string{"", "nudge", "a:1", "[::1]", "]]>", "<b>", "a b", "x/y?z#", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, host string) {
		for _, method := range []string{"GET", "POST"} {
			_, d := answer(t, method, "/Config/MsgrConfig.asmx", host)
			rest := strings.TrimPrefix(d.Today, "http://")
			if name, path, _ := strings.Cut(rest, "/"); path != "today" || strings.ContainsAny(name, "<>&?#@ \"'") {
				t.Errorf("%q leads to %q", host, d.Today)
			}
		}
	})
}

func withLocal(r *http.Request, at net.Addr) context.Context {
	return context.WithValue(r.Context(), http.LocalAddrContextKey, at)
}
