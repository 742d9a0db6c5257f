package main

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"

	"nudge/cmd/nudge/control"
)

// A port 53 that is taken costs one line with its cure; one that was asked for must
// be had.
func TestNamesWithoutTheirPort(t *testing.T) {
	taken, err := net.ListenPacket("udp4", "127.0.0.1:0")
	for err == nil && taken.LocalAddr().(*net.UDPAddr).Port > 60000 { // the others lie up to 5302 above it
		defer taken.Close()
		taken, err = net.ListenPacket("udp4", "127.0.0.1:0")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	addr := taken.LocalAddr().String()
	d, err := openNames("", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer d.netbios.Close()
	defer d.llmnr.Close()
	if len(d.about) != 3 || d.dns != nil || d.tcp != nil {
		t.Fatalf("it opened %+v", d)
	}
	first := d.about[0]
	if first.Name != control.ListenerNames || first.Addr != "" || !strings.Contains(first.Note, " is used by nudge.test (process ") || !strings.Contains(first.Note, "; old PCs don't find") ||
		!strings.Contains(first.Note, "Pi-hole") || strings.Contains(first.Note, "\n") {
		t.Errorf("it tells %+v", first)
	}
	for _, l := range d.about[1:] {
		if l.Addr == "" || l.Note != "" {
			t.Errorf("it tells %+v", l)
		}
	}
	if _, err := openNames(addr, ""); err == nil || !strings.Contains(err.Error(), "(names) is used by nudge.test (process ") {
		t.Errorf("a configured port that is taken gives %v", err)
	}
	if d, err := openNames(off, ":53"); err != nil || d.about != nil {
		t.Errorf("off opens %+v, %v", d, err)
	}
	s := &server{}
	s.leadHere(nameDoors{}, "host")
	if s.names != nil {
		t.Error("there is a name server though it is off")
	}
}

func TestPortsBesideDNS(t *testing.T) {
	for addr, want := range map[string]string{
		":53": ":137 :5355", "192.168.1.20:53": "192.168.1.20:137 192.168.1.20:5355",
		":1053": ":1137 :6355", "127.0.0.1:0": "127.0.0.1:0 127.0.0.1:0",
	} {
		if got := beside(addr, portNetBIOS) + " " + beside(addr, portLLMNR); got != want {
			t.Errorf("beside %s: %s", addr, got)
		}
	}
}

// TestRulesAreKept: a question to the name server costs no look into the database.
func TestRulesAreKept(t *testing.T) {
	s, err := start(config{Data: t.TempDir(), MSN: "127.0.0.1:0", HTTP: "127.0.0.1:0", HTTPS: off, Names: "127.0.0.1:0"}, newLog(t.Output(), slog.LevelWarn), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(10000, func() { s.nameRules() }); n != 0 {
		t.Errorf("%v allocations each", n)
	}
	if err := control.Local(s.box).SetSetting(t.Context(), control.SettingUpstream, "192.168.7.1"); err != nil {
		t.Fatal(err)
	}
	if got := s.nameRules().Upstream.String(); got != "192.168.7.1:53" {
		t.Errorf("other names are asked of %s", got)
	}
	if err := s.stop(context.Background()); err != nil {
		t.Error(err)
	}
}

// What the owner sets holds from the next question on, and the doctor says what
// becomes of other names.
func TestNameSettings(t *testing.T) {
	dir := t.TempDir()
	r := serve(t, dir)
	ask := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, r.ports["names"])
	}}
	found := func(name string) bool {
		all, err := ask.LookupHost(t.Context(), name)
		return err == nil && len(all) == 1 && all[0] == "127.0.0.1"
	}
	set := func(key, value string) {
		t.Helper()
		nudge(t, "", "--data", dir, "setting", key, value).want(t, exitOK)
	}
	nudge(t, "", "--data", dir, "doctor").want(t, exitOK, "are refused; for PCs that have this box")
	for _, c := range []struct{ name, key, value string }{
		{"messenger.hotmail.com.", "", ""},
		{"login.live.com.", control.SettingLoginLive, "192.168.7.7, 127.0.0.0/8"},
		{"msnmsgr.escargot.chat.", control.SettingPatched, "on"},
	} {
		if c.key != "" {
			if found(c.name) {
				t.Errorf("%s leads here without %s", c.name, c.key)
			}
			set(c.key, c.value)
		}
		if !found(c.name) {
			t.Errorf("%s does not lead here", c.name)
		}
	}
	set(control.SettingUpstream, r.ports["names"]) // itself
	nudge(t, "", "--data", dir, "doctor").want(t, exitOK, "are asked of "+r.ports["names"])
	if found("www.example.org.") {
		t.Error("another name leads here")
	}
	nudge(t, "", "--data", dir, "doctor").want(t, exitFailed, "which fails: it is this name server itself")
	r.stop().want(t, exitOK)
}
