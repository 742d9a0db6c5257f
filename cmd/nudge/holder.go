package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"nudge/cmd/nudge/control"
)

// holder names the program that listens on addr's port: only root can see that,
// and only of programs in the same container.
func holder(addr string) string {
	const nobody = "another program, perhaps another nudge"
	_, service, err := net.SplitHostPort(addr)
	if err != nil {
		return nobody
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return nobody
	}
	sockets := map[string]bool{}
	for table, state := range map[string]string{
		"/proc/net/tcp": tcpListens, "/proc/net/tcp6": tcpListens, "/proc/net/udp": udpListens, "/proc/net/udp6": udpListens,
	} {
		if f, err := os.Open(table); err == nil {
			listening(bufio.NewScanner(f), state, uint16(port), sockets)
			f.Close()
		}
	}
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/*") // the pattern is good
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err != nil || !sockets[to] {
			continue
		}
		pid := strings.Split(fd, "/")[2]
		if name, err := os.ReadFile("/proc/" + pid + "/comm"); err == nil {
			return fmt.Sprintf("%s (process %s)", strings.TrimSpace(string(name)), pid)
		}
	}
	return nobody
}

// States of sockets that take from anybody, in tables of the kernel.
const (
	tcpListens = "0A"
	udpListens = "07"
)

// listening adds the sockets of a table of the kernel that are in a state on port,
// as the links in /proc/PID/fd name them.
func listening(lines *bufio.Scanner, state string, port uint16, sockets map[string]bool) {
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 10 || f[3] != state {
			continue
		}
		_, local, _ := strings.Cut(f[1], ":")
		if n, err := strconv.ParseUint(local, 16, 16); err == nil && n == uint64(port) {
			sockets["socket:["+f[9]+"]"] = true
		}
	}
}

// portChecks tells of a box that is not running whether its ports are free.
func (e *env) portChecks() (checks []control.Check) {
	conf, err := load(e.Config, config{Data: e.Data})
	if err != nil {
		return []control.Check{{Name: "configuration", Verdict: control.Bad, Text: err.Error()}}
	}
	for _, p := range ports(conf) {
		addr := p.asked
		if addr == "" {
			addr = p.standard
		}
		c := control.Check{Name: "port " + p.name, Verdict: control.Good, Text: addr + " is free"}
		l, err := net.Listen("tcp", addr)
		switch {
		case err == nil:
			l.Close()
		case errors.Is(err, syscall.EADDRINUSE):
			c.Verdict, c.Text = control.Bad, addr+" is used by "+holder(addr)
		default:
			c.Verdict, c.Text = control.Warn, err.Error()
		}
		checks = append(checks, c)
	}
	return append(checks, namePortChecks(conf.Names, ":53")...)
}

// namePortChecks tells the same of the name server's ports; see openNames.
func namePortChecks(asked, standard string) (checks []control.Check) {
	d, err := openNames(asked, standard)
	if err != nil {
		return []control.Check{{Name: "port " + control.ListenerNames, Verdict: control.Bad, Text: err.Error()}}
	}
	for _, l := range d.about {
		c := control.Check{Name: "port " + l.Name, Verdict: control.Good, Text: l.Addr + " is free"}
		if l.Addr == "" {
			c.Verdict, c.Text = control.Warn, l.Note
		}
		checks = append(checks, c)
	}
	d.close()
	return checks
}
