package e2e

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"nudge/cmd/nudge/web/kit"
)

// dig is dig, asking the box once.
func (l lan) dig(args ...string) string {
	return l.pc.try(slices.Concat([]string{"dig", "+tries=1", "+time=15", "@" + lanBox}, args)...)
}

var (
	digStatus = regexp.MustCompile(`(?m)^;; ->>HEADER<<- opcode: \w+, status: (\w+),`)
	digFlags  = regexp.MustCompile(`(?m)^;; flags: ([a-z ]*);`)
	digAnswer = regexp.MustCompile(`(?m)^([^;\s]\S*)\s+(\d+)\s+IN\s+(\S+)\s+(\S+)$`)
	digSize   = regexp.MustCompile(`(?m)^;; MSG SIZE  rcvd: (\d+)$`)
)

// answer is what dig says came: the status, flags and records.
func answer(out string) string {
	first := func(re *regexp.Regexp) string {
		if m := re.FindStringSubmatch(out); m != nil {
			return m[1]
		}
		return "nothing"
	}
	s := first(digStatus) + " " + first(digFlags)
	for _, m := range digAnswer.FindAllStringSubmatch(out, -1) {
		s += " " + m[3] + "=" + m[4]
	}
	return s
}

// TestLANNames: the tools that a person would take find the box, and nothing else
// by it; no answer is much larger than its question, and nobody outside gets one.
func TestLANNames(t *testing.T) {
	end2end(t)
	l := newLAN(t)
	b := prepareBox(t)
	b.runIn(t, l)
	const here = "NOERROR qr aa rd A=" + lanBox
	for _, c := range []struct{ args, want string }{
		{"messenger.hotmail.com", here},
		{"+tcp messenger.hotmail.com", here},
		{"+noedns MESSENGER.Hotmail.COM", here},
		{"+norec nexus.passport.com", "NOERROR qr aa A=" + lanBox},
		{"nudge", here}, {"NUDGE.lan", here},
		{"messenger.hotmail.com ANY", here},
		{"messenger.hotmail.com AAAA", "NOERROR qr aa rd"},
		{"messenger.hotmail.com MX", "NOERROR qr aa rd"},
		{"messenger.hotmail.com CH A", "REFUSED qr rd"},
		{"version.bind CH TXT", "REFUSED qr rd"},
		{"messenger.hotmail.com HS A", "REFUSED qr rd"},
		{"www.example.org", "REFUSED qr rd"}, {"www.example.org ANY", "REFUSED qr rd"},
		{"login.live.com", "REFUSED qr rd"}, {"pp.login.ugnet.gay", "REFUSED qr rd"}, {". NS", "REFUSED qr rd"},
		{"-x " + lanBox, "REFUSED qr rd"},
		{"+opcode=NOTIFY messenger.hotmail.com", "NOTIMP qr rd"}, {"+opcode=UPDATE messenger.hotmail.com", "NOTIMP qr rd"},
		{"+time=2 -b " + outside + " messenger.hotmail.com", "nothing nothing"}, {"+time=2 -b " + outside + " +tcp messenger.hotmail.com", "nothing nothing"},
		{"-p 5355 +norec +noedns +noad nudge", "NOERROR qr A=" + lanBox},
		{"+time=2 -p 5355 +norec +noedns +noad messenger.hotmail.com", "nothing nothing"},
		{"+time=2 -b " + outside + " -p 5355 +norec +noedns +noad nudge", "nothing nothing"},
	} {
		out := l.dig(strings.Fields(c.args)...)
		if got := answer(out); got != c.want {
			t.Errorf("dig %s: %q, not %q\n%s", c.args, got, c.want, out)
		}
		if m := digSize.FindStringSubmatch(out); m != nil {
			const smallest = 12 + 1 + 4 // question without a name
			if n, _ := strconv.Atoi(m[1]); n > 2*(smallest+len("messenger.hotmail.com")) {
				t.Errorf("dig %s: an answer of %s bytes", c.args, m[1])
			}
		}
	}
	if got := l.multicast(t); got != lanBox {
		t.Errorf("asked of everybody, NUDGE is %q", got)
	}
	for args, want := range map[string]string{
		"-B " + lanAll + " NUDGE":        lanBox + " NUDGE<00>",
		"-U " + lanBox + " NUDGE#20":     lanBox + " NUDGE<20>",
		"-B " + lanAll + " OTHERPC":      "name_query failed to find name OTHERPC",
		"-B " + lanAll + " -M -- -":      "name_query failed",
		"-A " + lanBox:                   "NUDGE           <20>",
		"-U " + lanBox + " WORKGROUP#1c": "name_query failed",
	} {
		if out := l.pc.try(slices.Concat([]string{"nmblookup", "--configfile=/dev/null", "-d", "0"}, strings.Fields(args))...); !strings.Contains(out, want) {
			t.Errorf("nmblookup %s: %s", args, out)
		}
	}
	everyKit(t, l, b)
	random(t, l)
	if got := answer(l.dig("messenger.hotmail.com")); got != here {
		t.Errorf("after all that: %s", got)
	}
}

// multicast asks everybody for NUDGE by LLMNR and returns who answers with its own
// address.
func (l lan) multicast(t testing.TB) string {
	t.Helper()
	var c *net.UDPConn
	check(t, l.pc.do(func() (err error) {
		c, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(lanPC)})
		return err
	}))
	defer c.Close()
	check(t, c.SetDeadline(time.Now().Add(patience)))
	_, err := c.WriteTo(llmnrNudge, &net.UDPAddr{IP: net.IPv4(224, 0, 0, 252), Port: 5355})
	check(t, err)
	buf := make([]byte, 512)
	n, from, err := c.ReadFromUDP(buf)
	check(t, err)
	if ip := net.IP(buf[max(0, n-4):n]); ip.Equal(from.IP) {
		return ip.String()
	}
	return fmt.Sprintf("%x from %s", buf[:n], from)
}

// everyKit looks up every name that the clients of the kits look for.
func everyKit(t *testing.T, l lan, b *box) {
	b.cli(t, "setting", "names-login-live", lanPC)
	for _, k := range kit.List() {
		for _, host := range k.Hosts {
			if got := answer(l.dig(host)); got != "NOERROR qr aa rd A="+lanBox {
				t.Errorf("%s of %s: %s", host, k.Name, got)
			}
		}
	}
	b.cli(t, "setting", "names-login-live", "")
}

// random asks ten thousand questions, from several PCs so that none asks more than
// one may, and compares each answer's status.
func random(t *testing.T, l lan) {
	const pcs, each = 20, 500
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(uint64(seed), 0))
	ours := []string{"messenger.hotmail.com", "gateway.messenger.hotmail.com", "nexus.passport.com", "nudge", "a.b.messenger.msn.com"}
	kinds := []string{"A", "AAAA", "ANY", "TXT", "MX", "PTR", "SOA", "NS", "SRV", "CNAME", "TYPE65", "TYPE64000"}
	dir := t.TempDir()
	total := 0
	for pc := range pcs {
		addr := fmt.Sprintf("192.168.77.%d", 100+pc)
		l.pc.run(t, "ip", "addr", "add", addr+"/24", "dev", "lan0")
		var lines strings.Builder
		var want []string
		for range each {
			name, class, kind, status := randomName(r), "IN", kinds[r.IntN(len(kinds))], "REFUSED"
			if r.IntN(2) == 0 {
				name, status = ours[r.IntN(len(ours))], "NOERROR"
			}
			if r.IntN(5) == 0 {
				class, status = []string{"CH", "HS", "CLASS77"}[r.IntN(3)], "REFUSED"
			}
			fmt.Fprintf(&lines, "%s %s %s\n", name, class, kind)
			want = append(want, status)
		}
		file := filepath.Join(dir, addr)
		check(t, os.WriteFile(file, []byte(lines.String()), 0o600))
		out := l.dig("-b", addr, "+noall", "+comments", "+answer", "-f", file)
		var got []string
		for _, m := range digStatus.FindAllStringSubmatch(out, -1) {
			got = append(got, m[1])
		}
		if !slices.Equal(got, want) {
			t.Fatalf("from %s: %d answers to %d questions, the first that differs is %d", addr, len(got), len(want), differs(got, want))
		}
		for _, m := range digAnswer.FindAllStringSubmatch(out, -1) {
			if m[3] != "A" || m[4] != lanBox {
				t.Errorf("%s", m[0])
			}
		}
		total += len(got)
	}
	t.Logf("%d questions", total)
}

func differs(a, b []string) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// randomName is a name that stands for nothing, with letters that names seldom have.
func randomName(r *rand.Rand) string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	var b strings.Builder
	b.WriteByte('x') // a hyphen would begin an option
	for range 1 + r.IntN(4) {
		for range 1 + r.IntN(20) {
			if r.IntN(30) == 0 {
				fmt.Fprintf(&b, "\\%03d", r.IntN(256))
			} else {
				b.WriteByte(letters[r.IntN(len(letters))])
			}
		}
		b.WriteByte('.')
	}
	return b.String() + "invalid."
}
