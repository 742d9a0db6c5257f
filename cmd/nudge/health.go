package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"nudge/bridge/im"
	"nudge/cmd/nudge/control"
)

// health answers /healthz and /metrics on the HTTP port, for programs of the home
// network that watch over it. Other pages are next's.
type health struct {
	s     *server
	names []string // that the box is asked by, besides its addresses
	next  http.Handler

	mu   sync.Mutex
	at   time.Time // of the last proof
	last error
}

// proofTime is how long a proof may take, and how long it counts: who asks often
// does not make the box prove itself more often.
const proofTime = 2 * time.Second

func newHealth(s *server, names []string) *health {
	return &health{s: s, names: append([]string{"localhost", "nudge"}, names...)}
}

func (h *health) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path != "/healthz" && r.URL.Path != "/metrics":
		h.next.ServeHTTP(w, r)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		http.Error(w, "only GET", http.StatusMethodNotAllowed)
	case !h.own(r.Host):
		// A page of the Internet that has its name lead here (DNS rebinding).
		http.Error(w, "ask by the box's address", http.StatusForbidden)
	case r.URL.Path == "/healthz":
		h.healthz(w, r)
	default:
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		h.metrics(w, r)
	}
}

// own tells whether host is an address or a name of the box.
func (h *health) own(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	names := append(slices.Clone(h.names), h.s.box.Hub.Setting(control.SettingAddress))
	return net.ParseIP(host) != nil || host != "" && slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, host) })
}

// proof is s.alive, at most once in proofTime.
func (h *health) proof(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Since(h.at) >= proofTime {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), proofTime)
		defer cancel()
		h.last = h.s.alive(ctx)
		h.at = time.Now()
	}
	return h.last
}

func (h *health) healthz(w http.ResponseWriter, r *http.Request) {
	if err := h.proof(r.Context()); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	io.WriteString(w, "ok\n")
}

// metrics are in the text format of Prometheus. No name of an account is in them.
func (h *health) metrics(w io.Writer, r *http.Request) {
	put := func(name, kind, help string, v float64) {
		fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n%s %v\n", name, help, name, kind, name, v)
	}
	healthy := 1.0
	if h.proof(r.Context()) != nil {
		healthy = 0
	}
	put("nudge_healthy", "gauge", "1 when the box answers a client and its database works.", healthy)
	users := h.s.box.Hub.AccountList()
	online, waiting := 0, 0
	for _, u := range users {
		waiting += u.Waiting
		if u.Status != im.Offline {
			online++
		}
	}
	put("nudge_accounts", "gauge", "Accounts.", float64(len(users)))
	put("nudge_accounts_online", "gauge", "Accounts that are signed in.", float64(online))
	put("nudge_messages_waiting", "gauge", "Messages that wait for somebody to sign in.", float64(waiting))
	links := map[string][2]int{} // by network: all, up
	unsent := 0
	for _, l := range h.s.box.Hub.Links("") {
		n := links[l.Net]
		n[0]++
		if l.State != im.Down {
			n[1]++
		}
		links[l.Net] = n
		unsent += l.Waiting
	}
	fmt.Fprint(w, "# HELP nudge_links Links by network and state.\n# TYPE nudge_links gauge\n")
	for _, net := range h.s.box.Hub.Networks() {
		n := links[net]
		fmt.Fprintf(w, "nudge_links{network=%q,state=\"up\"} %d\nnudge_links{network=%q,state=\"down\"} %d\n", net, n[1], net, n[0]-n[1])
	}
	put("nudge_messages_unsent", "gauge", "Messages and edits that a network has not confirmed.", float64(unsent))
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	put("nudge_memory_bytes", "gauge", "Memory that the program got from the system.", float64(m.Sys-m.HeapReleased))
	put("nudge_goroutines", "gauge", "Goroutines.", float64(runtime.NumGoroutine()))
	put("process_start_time_seconds", "gauge", "When the box started, in Unix time.", float64(h.s.began.Unix()))
}
