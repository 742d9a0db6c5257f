package passport

import (
	"encoding/xml"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
)

// tokenBody is the envelope of a request for these tokens: pairs of Id and
// address, with the policy after a blank.
func tokenBody(handle, password string, tokens ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/" xmlns:wsse="http://schemas.xmlsoap.org/ws/2003/06/secext" xmlns:wsp="http://schemas.xmlsoap.org/ws/2002/12/policy" xmlns:wsa="http://schemas.xmlsoap.org/ws/2004/03/addressing" xmlns:wst="http://schemas.xmlsoap.org/ws/2004/04/trust" xmlns:ps="http://schemas.microsoft.com/Passport/SoapServices/PPCRL">
 <Header><ps:AuthInfo Id="PPAuthInfo"><ps:HostingApp>{7108E71A-9926-4FCB-BCC9-9A9D3F32E423}</ps:HostingApp></ps:AuthInfo>
 <wsse:Security><wsse:UsernameToken Id="user"><wsse:Username>%s</wsse:Username><wsse:Password>%s</wsse:Password></wsse:UsernameToken></wsse:Security></Header>
 <Body><ps:RequestMultipleSecurityTokens Id="RSTS">`, handle, password)
	for i := 0; i+1 < len(tokens); i += 2 {
		address, policy, _ := strings.Cut(tokens[i+1], " ")
		fmt.Fprintf(&b, `
  <wst:RequestSecurityToken Id="%s"><wst:RequestType>http://schemas.xmlsoap.org/ws/2004/04/security/trust/Issue</wst:RequestType>
   <wsp:AppliesTo><wsa:EndpointReference><wsa:Address>%s</wsa:Address></wsa:EndpointReference></wsp:AppliesTo><wsse:PolicyReference URI="%s"></wsse:PolicyReference>
  </wst:RequestSecurityToken>`, tokens[i], address, policy)
	}
	return b.String() + "\n </ps:RequestMultipleSecurityTokens></Body></Envelope>"
}

func tokenRequest(handle, password string, tokens ...string) string {
	body := tokenBody(handle, password, tokens...)
	return fmt.Sprintf("POST //RST.srf HTTP/1.1\r\nHost: login.live.com\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

const escaped = "123&#44; 456" // the account's password as XML

// tokenIDs are the Ids and addresses of an answer's tokens, in order.
var tokenIDs = regexp.MustCompile(`<wsa:Address>([^<]*)</wsa:Address>.*?<wsse:Reference URI="#(\w+)"/>`)

func TestTokens(t *testing.T) {
	s := newServer()
	for _, c := range []struct {
		name   string
		tokens []string
		want   string
	}{
		{"MSN 7.5", []string{"RST0", service, "RST1", "messenger.msn.com ?lc=1033&amp;id=507&amp;tw=40"}, "messenger.msn.com PPToken1"},
		{"libpurple 2.6", []string{"RST0", service, "RST1", "messengerclear.live.com MBI_KEY_OLD", "RST2", "messenger.msn.com ?id=507", "RST3", "contacts.msn.com MBI"},
			"messengerclear.live.com Compact1, messenger.msn.com PPToken2, contacts.msn.com Compact3"},
		{"without the service", []string{"RST1", "messenger.msn.com ?id=507"}, "messenger.msn.com PPToken1"},
		{"numbered from 0", []string{"RST0", "messenger.msn.com ?id=507"}, "messenger.msn.com PPToken1"},
		{"without numbers", []string{"x", "a MBI", "", "b&lt;&amp;c MBI"}, "a Compact1, b&lt;&amp;c Compact2"},
		{"with a number beyond the list", []string{"RST4000000000", "a MBI"}, "a Compact1"},
		{"nothing", nil, ""},
	} {
		got, again := ask(t, s, tokenRequest("ALICE@example.com", escaped, c.tokens...), Via{local, remote, true})
		head, body, _ := strings.Cut(got, "\r\n\r\n")
		if head != fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/xml; charset=utf-8\r\nContent-Length: %d\r\nConnection: keep-alive", len(body)) || !again {
			t.Errorf("%s: %q, %v", c.name, head, again)
		}
		wellFormed(t, body)
		if regexp.MustCompile(`>\s+<`).MatchString(body) {
			t.Errorf("%s: white space between elements: %s", c.name, body)
		}
		var ids []string
		for i, m := range tokenIDs.FindAllStringSubmatch(body, -1) {
			if i == 0 && (m[1] != service || m[2] != "BinaryDAToken0") {
				t.Errorf("%s: begins with %s", c.name, m[0])
			}
			if i > 0 {
				ids = append(ids, m[1]+" "+m[2])
			}
		}
		if got := strings.Join(ids, ", "); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		for _, m := range regexp.MustCompile(`<wsse:BinarySecurityToken Id="\w+">([^<]*)</wsse:BinarySecurityToken>`).FindAllStringSubmatch(body, -1) {
			ticket := strings.ReplaceAll(m[1], "&amp;", "&")
			if h, ok := s.Tickets.Verify(ticket); !ok || h != "Alice@example.com" || !strings.HasPrefix(ticket, "t=") || !strings.HasSuffix(ticket, "&p=") || len(ticket) < 100 {
				t.Errorf("%s: the ticket %q is for %q, %v", c.name, ticket, h, ok)
			}
		}
	}
}

func wellFormed(t *testing.T, body string) {
	t.Helper()
	dec := xml.NewDecoder(strings.NewReader(body))
	for {
		if _, err := dec.Token(); err == io.EOF {
			return
		} else if err != nil {
			t.Fatalf("%v in %s", err, body)
		}
	}
}

func TestTokensRefused(t *testing.T) {
	const fault = `</S:Header><S:Fault><faultcode>wsse:FailedAuthentication</faultcode><faultstring>Authentication Failure</faultstring></S:Fault></S:Envelope>`
	witnessed := map[string]string{
		"wrong password":  "192.0.2.9 alice@example.com " + WrongPassword.String(),
		"unknown account": "192.0.2.9 bob@example.com " + UnknownAccount.String(),
	}
	for name, in := range map[string]string{
		"wrong password":    tokenRequest("alice@example.com", "wrong", "RST1", "messenger.msn.com ?id=507"),
		"unknown account":   tokenRequest("bob@example.com", escaped, "RST1", "messenger.msn.com ?id=507"),
		"nobody":            tokenRequest("", "", "RST1", "messenger.msn.com ?id=507"),
		"long password":     tokenRequest("alice@example.com", strings.Repeat("x", 999)),
		"no body":           "POST /RST.srf HTTP/1.1\r\nHost: x\r\n\r\n",
		"no XML":            "POST /RST.srf HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n<<<<<",
		"cut in the middle": "POST /RST.srf HTTP/1.1\r\nHost: x\r\nContent-Length: 60\r\n\r\n" + tokenBody("alice@example.com", escaped)[:60],
	} {
		srv := newServer()
		got, _ := ask(t, srv, in, Via{local, remote, true})
		saw := strings.Join(*srv.Witness.(*seen), "; ")
		if want := witnessed[name]; saw != want {
			t.Errorf("%s: the witness was told %q, want %q", name, saw, want)
		}
		head, body, _ := strings.Cut(got, "\r\n\r\n")
		if !strings.HasPrefix(head, "HTTP/1.1 200 OK\r\n") || !strings.HasSuffix(body, fault) || !strings.Contains(body, "<psf:reqstatus>0x80048823</psf:reqstatus>") || strings.Contains(body, "BinarySecurityToken") {
			t.Errorf("%s: %s", name, got)
		}
		wellFormed(t, body)
	}
}

func TestHeaderToken(t *testing.T) {
	s := newServer()
	got, _ := ask(t, s, "POST /NotRST.srf HTTP/1.1\r\nHost: x\r\nX-User: alice@example.com\r\nX-Password: 123, 456\r\nContent-Length: 0\r\n\r\n", Via{local, remote, true})
	m := regexp.MustCompile(`^HTTP/1\.1 200 OK\r\nX-Token: (\S+)\r\n`).FindStringSubmatch(got)
	if m == nil {
		t.Fatal(got)
	}
	if _, ok := s.Tickets.Verify(m[1]); !ok {
		t.Errorf("the token %s is no good", m[1])
	}
	if got, _ := ask(t, s, "POST /NotRST.srf HTTP/1.1\r\nHost: x\r\nX-User: alice@example.com\r\nX-Password: wrong\r\n\r\n", Via{local, remote, true}); strings.Contains(got, "X-Token") {
		t.Error(got)
	}
}

func FuzzTokens(f *testing.F) {
	f.Add(tokenBody("alice@example.com", escaped, "RST0", service, "RST1", "messenger.msn.com ?id=507"))
	f.Add("<a><Username>alice@example.com</Username><Password>123, 456</Password><RequestSecurityToken Id='RST7'><AppliesTo><EndpointReference><Address>x&amp;</Address>")
	f.Add("<!DOCTYPE a [<!ENTITY b 'c'>]><Username>&b;</Username>")
	s := newServer()
	f.Fuzz(func(t *testing.T, body string) {
		_, _, tokens, _ := parseTokenRequest([]byte(body))
		a := s.tokens(Request{Body: []byte(body)}, remote)
		if len(tokens) > maxTokens || len(a.body) > 2000*(maxTokens+2)+6*len(body) {
			t.Fatalf("%d tokens, %d bytes for %q", len(tokens), len(a.body), body)
		}
		wellFormed(t, a.body)
	})
}
