package main

import (
	"errors"
	"net"
	"strconv"
	"strings"
	"syscall"

	"nudge/cmd/nudge/control"
	"nudge/msnserver"
	"nudge/msnserver/names"
)

// The ports where PCs ask for names. Nobody can tell them another; with another
// for DNS the others move as far, so that a box without the right to use these
// can stand behind a firewall that leads them there.
const (
	portDNS     = 53
	portNetBIOS = 137
	portLLMNR   = 5355
)

// nameDoors are the open ports of the name server. What could not be had is nil.
type nameDoors struct {
	dns, netbios, llmnr *names.Socket
	tcp                 net.Listener
	about               []control.Listener // with those that could not be had
}

// openNames opens the ports of the name server. asked is what was configured, and
// must be had for DNS. Without that, or for the others, the box runs on and says
// what is missing.
func openNames(asked, standard string) (d nameDoors, err error) {
	if asked == off {
		return d, nil
	}
	addr := asked
	if addr == "" {
		addr = standard
	}
	d.dns, d.tcp, err = listenDNS(addr)
	switch {
	case err == nil:
		d.open(control.ListenerNames, d.dns.Addr())
	case asked != "":
		return d, cantListen(control.ListenerNames, addr, err)
	default:
		d.miss(control.ListenerNames, addr, err, "old PCs don't find this box by asking it for names. "+freeDNS(err))
	}
	at := beside(addr, portNetBIOS)
	if d.netbios, err = names.ListenBroadcast(at); err == nil {
		d.open("netbios", d.netbios.Addr())
	} else {
		d.miss("netbios", at, err, "PCs up to Windows XP don't find this box as NUDGE. If it is Samba's, give that the line: netbios aliases = NUDGE")
	}
	at = beside(addr, portLLMNR)
	if d.llmnr, err = names.ListenLLMNR(at); err == nil {
		d.open("llmnr", d.llmnr.Addr())
	} else {
		d.miss("llmnr", at, err, "PCs from Windows Vista on don't find this box as NUDGE")
	}
	return d, nil
}

// close gives the ports back, of a name server that never came to be.
func (d *nameDoors) close() {
	for _, sock := range []*names.Socket{d.dns, d.netbios, d.llmnr} {
		if sock != nil {
			sock.Close()
		}
	}
	if d.tcp != nil {
		d.tcp.Close()
	}
}

func (d *nameDoors) open(name string, at net.Addr) {
	d.about = append(d.about, control.Listener{Name: name, Addr: at.String()})
}

func (d *nameDoors) miss(name, addr string, err error, so string) {
	_, port, _ := net.SplitHostPort(addr) // checked with the configuration
	d.about = append(d.about, control.Listener{Name: name, Note: "port " + port + " " + whyNot(err, addr) + "; " + so})
}

// freeDNS is what to do about a port 53 that is taken.
func freeDNS(err error) string {
	if !errors.Is(err, syscall.EADDRINUSE) {
		return ""
	}
	cure := "Let that program (Pi-hole, systemd-resolved) lead the old names here, or free the port"
	if ips := lanAddresses(); len(ips) > 0 {
		cure += ", or if it is systemd-resolved: nudge --names " + ips[0].String() + ":53"
	}
	return cure
}

// listenDNS opens the same port over UDP and TCP. With port 0 any that is free for
// both.
func listenDNS(addr string) (sock *names.Socket, tcp net.Listener, err error) {
	for range 8 {
		if sock, err = names.Listen(addr); err != nil {
			return nil, nil, err
		}
		if tcp, err = net.Listen("tcp4", sock.Addr().String()); err == nil {
			return sock, tcp, nil
		}
		sock.Close()
		if !strings.HasSuffix(addr, ":0") {
			break
		}
	}
	return nil, nil, err
}

// beside is where another service listens when DNS does at addr.
func beside(addr string, standard int) string {
	host, port, _ := net.SplitHostPort(addr) // checked with the configuration
	if n, _ := strconv.Atoi(port); n != 0 {
		port = strconv.Itoa(n - portDNS + standard)
	}
	return net.JoinHostPort(host, port)
}

// leadHere starts the name server on its ports. host is this machine's name.
func (s *server) leadHere(d nameDoors, host string) {
	if len(d.about) == 0 {
		return // it is off
	}
	s.box.Listeners = append(s.box.Listeners, d.about...)
	called := []string{"NUDGE"}
	if known := hostNames(host); known != nil {
		first, _, _ := strings.Cut(known[0], ".")
		called = append(called, first)
	}
	s.readRules()
	s.box.SettingsChanged = s.readRules
	s.names = names.New(names.Config{Hosts: called, Rules: s.nameRules, Asked: s.msn.AskedName, Allow: msnserver.AtHome, Log: s.box.Log})
	s.box.NamesUpstream = s.names.Upstream
	serve := func(name string, sock *names.Socket, answer func(*names.Socket) error) {
		if sock != nil {
			s.wg.Go(func() { s.answered(name, answer(sock)) })
		}
	}
	serve(control.ListenerNames, d.dns, s.names.ServeDNS)
	serve("netbios", d.netbios, s.names.ServeNetBIOS)
	serve("llmnr", d.llmnr, s.names.ServeLLMNR)
	if d.tcp != nil {
		s.wg.Go(func() { s.answered(control.ListenerNames, s.names.ServeTCP(d.tcp)) })
	}
}

// answered logs why a port of the name server stopped answering. Clients that know
// the way can still sign in, so the box runs on.
func (s *server) answered(name string, err error) {
	if err != nil {
		s.box.Log.Error("the name server stopped answering; restart the box", "port", name, "err", err)
	}
}

// nameRules are the owner's settings of the moment. They are kept: who floods the
// box with questions does not make it read its database.
func (s *server) nameRules() names.Rules { return *s.rules.Load() }

// readRules reads them again.
func (s *server) readRules() {
	s.reading.Lock()
	defer s.reading.Unlock()
	var r names.Rules
	// Values were checked when they were set: what is wrong now counts as not set.
	r.Upstream, _ = control.Upstream(s.box.Hub.Setting(control.SettingUpstream))
	r.Guarded, _ = control.PCs(s.box.Hub.Setting(control.SettingLoginLive))
	r.Patched = s.box.Hub.Setting(control.SettingPatched) == control.On
	s.rules.Store(&r)
}
