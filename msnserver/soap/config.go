// Package soap answers the web services of MSN clients, of which there is one so
// far: the configuration that Messenger 6.0 and later fetch when they start
// (MsgrConfig, MSNP.md F.8). Without it 6.x and 7.x go on asking and show no tabs.
//
// Clients keep what they are told (MSNP.md K.16), so there is no more in it than
// what keeps features of servers that are gone out of the way, and one tab: MSN
// Today, which is this box's. Nothing in it is private, so it is the same for
// everybody, under every name; no text of the request is in it but the name by
// which the client found us, where that is a name.
//
// It has no goroutines of its own.
package soap

import (
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
)

// ConfigPath is where clients ask, in some spelling.
const ConfigPath = "/config/msgrconfig.asmx"

// TodayPath is the page that the tab shows.
const TodayPath = "/today"

// WithConfig answers those who ask for the configuration, others are next's. A GET
// is answered with the document, a POST with a SOAP envelope that has it inside, by
// whatever version it is asked for.
func WithConfig(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.EqualFold(r.URL.Path, ConfigPath) {
			next.ServeHTTP(w, r)
			return
		}
		text := config(site(r))
		switch r.Method {
		case http.MethodGet, http.MethodHead:
			text = declaration + text
		case http.MethodPost:
			text = declaration + envelopeBegin + text + envelopeEnd
		default:
			w.Header().Set("Allow", "GET, HEAD, POST")
			http.Error(w, "only GET and POST", http.StatusMethodNotAllowed)
			return
		}
		w.Header().Set("Content-Type", "text/xml; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store") // the name may be another tomorrow
		io.WriteString(w, text)                     // fails only when the client is gone
	})
}

// named is a host name or an address, with its port.
var named = regexp.MustCompile(`^([A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?$`)

// site is where the client reached us: the same name leads its browser here as
// well, which the names of other servers of Microsoft need not.
func site(r *http.Request) string {
	if named.MatchString(r.Host) {
		return "http://" + r.Host
	}
	if at, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		if host, port, err := net.SplitHostPort(at.String()); err == nil && !strings.Contains(host, "%") {
			if port == "80" || port == "443" {
				return "http://" + strings.TrimSuffix(net.JoinHostPort(host, ""), ":")
			}
			return "http://" + net.JoinHostPort(host, port)
		}
	}
	return "http://nudge"
}

const (
	declaration   = `<?xml version="1.0" encoding="utf-8"?>` + "\n"
	envelopeBegin = `<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" ` +
		`xmlns:xsd="http://www.w3.org/2001/XMLSchema"><soap:Body><GetClientConfigResponse xmlns="http://www.msn.com/webservices/Messenger/Client">` +
		`<GetClientConfigResult><![CDATA[`
	envelopeEnd = `]]></GetClientConfigResult></GetClientConfigResponse></soap:Body></soap:Envelope>` + "\n"
)

// config is the document. Site ids of 0 keep clients from logging in to Passport
// for a page; the image is one that they have themselves.
func config(site string) string {
	return strings.ReplaceAll(`<MsgrConfig>
<Simple>
<Config><ExpiresInDays>0</ExpiresInDays></Config>
<DisablePhoneDialer>1</DisablePhoneDialer>
<MinFlashPlayer BuildNumber="60" MajorVersion="7" MinorVersion="0"/>
<Relay><Enabled>0</Enabled><MaxCallLength>0</MaxCallLength></Relay>
<TrustedDomains/>
<ErrorResponseTable/>
</Simple>
<TabConfig>
<msntabdata>
<tab>
<type>page</type>
<contenturl>TODAY</contenturl>
<hiturl>TODAY</hiturl>
<image>res:bell</image>
<name>MSN Today</name>
<tooltip>MSN Today</tooltip>
<siteid>0</siteid>
<notificationid>0</notificationid>
</tab>
</msntabdata>
<msntabsettings>
<oemdisplaylimit>1</oemdisplaylimit>
<oemtotallimit>1</oemtotallimit>
</msntabsettings>
</TabConfig>
<LocalizedConfig Market="en-US">
<MsnTodayConfig>
<MsnTodaySiteID>0</MsnTodaySiteID>
<MsnTodayURL>TODAY</MsnTodayURL>
</MsnTodayConfig>
</LocalizedConfig>
</MsgrConfig>`, "TODAY", site+TodayPath)
}
