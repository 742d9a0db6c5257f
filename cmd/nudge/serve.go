package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"nudge/cmd/nudge/control"
	"nudge/cmd/nudge/web"
	"nudge/cmd/nudge/web/media"
	"nudge/msnserver"
	"nudge/msnserver/front"
	"nudge/msnserver/names"
)

// serveCmd runs the box.
type serveCmd struct {
	MSN   string `name:"msn" placeholder:"ADDR" help:"Where old clients sign in and chat; default :1863."`
	HTTP  string `name:"http" placeholder:"ADDR" help:"Passport log-in without TLS, and MSN over HTTP; default :80, or :8080."`
	HTTPS string `name:"https" placeholder:"ADDR|off" help:"The same with TLS; default :443, or :8443."`
	Names string `placeholder:"ADDR|off" help:"Name server that leads old PCs here; default :53 when it can be had."`
	Log   string `placeholder:"LEVEL" help:"debug, info, warn or error; default info."`
}

// Help is the example.
func (serveCmd) Help() string {
	return "Every flag is also a key of the configuration file. Example:\n\n\tnudge serve --data ~/nudge --http :8080 --https off\n\n" +
		"The configuration file with every key and its default:\n\n\t" +
		strings.ReplaceAll(exampleConfig, "\n", "\n\t")
}

// Run serves until SIGINT or SIGTERM.
func (c serveCmd) Run(e *env) (err error) {
	reread := func() (config, error) {
		return load(e.Config, config{Data: e.Data, MSN: c.MSN, HTTP: c.HTTP, HTTPS: c.HTTPS, Names: c.Names, Log: c.Log})
	}
	for again := true; again && err == nil; {
		again, err = c.once(e, reread)
	}
	return err
}

// once runs the box until it is to stop, or to start again with a backup that the
// pages were given.
func (c serveCmd) once(e *env, reread func() (config, error)) (again bool, err error) {
	conf, err := reread()
	if err == nil {
		err = finishRestore(e.ctx, conf.Data)
	}
	if err != nil {
		return false, err
	}
	m := newMachine(e.stderr, conf, reread)
	defer m.close()
	s, err := start(conf, m.log, m.panel, m.last.all)
	if err != nil {
		return false, err
	}
	s.greet(e.ctx, e.stdout)
	m.tend(s)
	select {
	case <-e.ctx.Done():
	case err = <-s.failed:
	case <-s.again:
		again = true
	}
	m.stopping(again)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(e.ctx), stopTime)
	defer cancel()
	return again, errors.Join(err, s.stop(ctx))
}

// How long stopping may take: for clients to take what is on its way to them, and
// altogether. keyTime is for a key of the certificate that is being made: the
// first board takes half a minute for one, and only the end of the process can
// break that off.
const (
	drainTime = 3 * time.Second
	stopTime  = 15 * time.Second
	keyTime   = time.Second
)

// newLog logs to w. The journal writes the time itself.
func newLog(w io.Writer, level slog.Leveler) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if os.Getenv("JOURNAL_STREAM") != "" {
		o.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// server is a box that runs. It owns one goroutine for each port, one that
// settles down, one that keeps it small and one that makes copies; stop waits for
// them.
type server struct {
	conf    config
	box     *control.Box
	control *control.Server
	msn     *msnserver.Server
	cert    *front.Certificate // nil without HTTPS
	names   *names.Server      // nil when it is off
	rules   atomic.Pointer[names.Rules]
	reading sync.Mutex         // of the rules: who reads last has the newest
	hurry   context.CancelFunc // ends settling down
	clock   *clock
	web     *web.Pages
	media   *media.Pages
	began   time.Time
	again   chan struct{} // a restored backup waits for the next start
	failed  chan error    // why a port stopped answering
	wg      sync.WaitGroup
	settled chan struct{} // closed when settling down has ended
}

// start opens the data folder and every port, and lets clients in. The control
// socket comes before the ports: who sees a port open finds it. lights and tail,
// the end of the log, may be nil.
func start(conf config, log *slog.Logger, lights control.Lights, tail func() []string) (*server, error) {
	clock := newClock(conf.Data)
	box, err := openBox(control.Config{Log: log, Data: conf.Data, Runtime: runtimeDir(), Version: version(), Built: built(),
		Running: true, Lights: lights, LogTail: tail}, conf.Limits, clock.set)
	if err != nil {
		return nil, err
	}
	s := &server{conf: conf, box: box, clock: clock, began: time.Now(), again: make(chan struct{}, 1), failed: make(chan error, 3), settled: make(chan struct{})}
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	if s.control, err = control.Listen(box); err != nil {
		return nil, errors.Join(err, closeBox(ctx, box))
	}
	doors, err := openPorts(conf)
	var lan nameDoors
	if err == nil {
		if lan, err = openNames(conf.Names, ":53"); err != nil {
			closePorts(doors)
		}
	}
	if err != nil {
		return nil, errors.Join(err, s.control.Close(ctx), closeBox(ctx, box))
	}
	host, _ := os.Hostname()
	if _, secure := doors["https"]; secure {
		s.cert = front.NewCertificate(certificateIn(conf.Data), hostNames(host), lanAddresses, log)
		box.Certificate = func() control.Certificate { return control.Certificate(s.cert.State()) }
	}
	s.msn = msnserver.New(msnserver.Config{Hub: box.Hub, Log: log, Cert: s.cert, Limits: conf.Limits.server(), Pages: s.pages(hostNames(host))})
	if s.cert != nil {
		box.Trusted = s.cert.Root
	}
	box.SignInChanged = func(handle string) { s.msn.VoidTickets(handle); s.web.SignOut(handle); s.media.Forget(handle) }
	box.Hub.OfferFiles(s.filesAt)
	box.Hub.TakeFiles(s.room)
	box.Hub.ShowPictures(s.media.Portrait)
	box.Troubled, box.Outside, box.Reach, box.Overhear, box.Try = s.troubled, s.outside, s.likelyAddress, s.msn.Record, s.guess
	box.Restore, box.Media = s.restore, s.removable
	if _, port, _ := net.SplitHostPort(doors["msn"].about.Addr); port == "1863" {
		box.Lookup = func(ctx context.Context, name string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip4", name)
		}
	}
	for _, p := range ports(conf) {
		box.Listeners = append(box.Listeners, doors[p.name].about)
	}
	s.leadHere(lan, host)
	s.control.Start()
	box.Hub.Start()
	for name, answer := range map[string]func(net.Listener) error{
		"msn": s.msn.ServeMSN, "http": s.msn.ServeHTTP, "https": s.msn.ServeHTTPS,
	} {
		if d, ok := doors[name]; ok {
			s.wg.Go(func() { s.answer(name, answer, d) })
		}
	}
	settling, hurry := context.WithCancel(context.Background())
	s.hurry = hurry
	go func() { s.settle(settling); close(s.settled) }()
	s.wg.Go(func() { keepSmall(settling) })
	s.wg.Go(func() { s.copies(settling) })
	return s, nil
}

// settle does what need not be done before clients are let in: it makes the
// certificate and waits for the clock.
func (s *server) settle(ctx context.Context) {
	if s.cert != nil {
		s.cert.Prepare(ctx) // logs what goes wrong
	}
	select {
	case <-s.clock.set:
		return
	default:
	}
	s.box.Log.Warn("the clock is not set: links to other networks wait for it")
	if s.clock.wait(ctx) == nil {
		s.box.Log.Info("the clock is set")
	}
}

// answer serves one port. That it ends before stop is a failure of the box.
func (s *server) answer(name string, serve func(net.Listener) error, d door) {
	if err := serve(d.Listener); !errors.Is(err, msnserver.ErrClosed) {
		s.failed <- fmt.Errorf("%s stopped answering: %w", name, err)
	}
}

// stop lets clients take what is on its way to them, signs them off, ends the
// links and puts everything on disk.
func (s *server) stop(ctx context.Context) error {
	s.hurry()
	if s.names != nil {
		s.names.Close()
	}
	drain, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	err := s.msn.Shutdown(drain)
	if errors.Is(err, context.DeadlineExceeded) {
		s.box.Log.Warn("some clients did not take what was on its way to them; it is kept for their next sign-in")
		err = nil
	}
	s.wg.Wait()
	s.media.Close()
	err = errors.Join(err, s.control.Close(ctx), closeBox(ctx, s.box))
	select {
	case <-s.settled:
	case <-time.After(keyTime):
	}
	return err
}

// hostNames are what the box is called in the home network.
func hostNames(host string) []string {
	if host == "" || host == "localhost" {
		return nil
	}
	return []string{host, host + ".local"}
}

// greet tells a person where the box is and what to do next.
func (s *server) greet(ctx context.Context, out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	defer w.Flush()
	fmt.Fprintf(w, "Nudge %s runs.", s.box.Version)
	if runtimeDir() == "" {
		fmt.Fprint(w, " Stop it with Ctrl-C.")
	}
	fmt.Fprint(w, "\n\n")
	fmt.Fprintf(w, "address\t%s\tfor messenger.hotmail.com and the other names the old PCs look for\n", s.address(ctx))
	for _, l := range s.box.Listeners {
		fmt.Fprintf(w, "%s\t%s\t%s\n", l.Name, dash(l.Addr), l.Note)
	}
	fmt.Fprintf(w, "data folder\t%s\n\n", s.conf.Data)
	if code := s.box.ClaimCode(); code != "" {
		fmt.Fprintf(w, "Nobody owns this box yet: open its pages in a browser and give the code\n\n\t%s\t%s\n\n", s.site(), code)
	}
	if users := s.box.Hub.AccountList(); len(users) == 0 {
		where := ""
		if usual, err := defaultData(); err != nil || usual != s.conf.Data {
			where = " --data " + s.conf.Data
		}
		fmt.Fprintf(w, "There are no accounts yet. Without a browser, make the first in another terminal (with --md5 for MSN Messenger 1.0 to 4.6):\n\n\tnudge user add alice@hotmail.com%s\n", where)
	}
}

// address is what old PCs are told to use: the setting or the likely one.
func (s *server) address(ctx context.Context) string {
	st, err := control.Local(s.box).Status(ctx)
	if err != nil {
		return s.likelyAddress()
	}
	return st.Address
}

// likelyAddress is the one address that is listened on, or the most likely one
// of this machine.
func (s *server) likelyAddress() string {
	if host, _, err := net.SplitHostPort(s.box.Listeners[0].Addr); err == nil {
		if ip := net.ParseIP(host); ip != nil && !ip.IsUnspecified() {
			return host
		}
	}
	if ips := lanAddresses(); len(ips) > 0 {
		return ips[0].String()
	}
	return "127.0.0.1"
}

// troubled says which PCs could not sign in, in words (control.Config).
func (s *server) troubled(box string) (pcs []control.PC) {
	if box == "" {
		box = s.likelyAddress()
	}
	for _, t := range s.msn.Troubles() {
		pcs = append(pcs, control.PC{
			Address: t.Peer.String(), Account: t.Handle, Trouble: t.Why.String(), What: t.Why.What(box), Cure: t.Why.Cure(box, t.Handle),
			Times: t.Times, First: t.First, Last: t.Last,
		})
	}
	return pcs
}

// outside says who came from the Internet, in the owner's terms (control.Config).
func (s *server) outside() control.Outsider { return control.Outsider(s.msn.Outsiders()) }
