package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// SocketFile is the socket's name in the data folder.
const SocketFile = "control.sock"

// group may use the socket besides its owner, where it exists.
const group = "nudge"

// maxSocketPath is how long the path of a Unix socket may be.
const maxSocketPath = 100

// Server answers calls on the socket.
type Server struct {
	http   http.Server
	l      net.Listener
	path   *socketPath
	cancel context.CancelFunc // ends the calls under way
	wg     sync.WaitGroup
}

// grace is how long calls under way may take when the server closes.
const grace = time.Second

// Listen opens the socket in b's runtime folder, or its data folder: who
// connects waits for Start. The caller holds the folder's database, so a socket
// that is there already is a dead one and replaced.
func Listen(b *Box) (*Server, error) {
	p, err := openSocketPath(cmp.Or(b.Runtime, b.Data))
	if err != nil {
		return nil, fmt.Errorf("the control socket can't be made: %w", err)
	}
	l, err := listenAt(p.name)
	if err == nil && b.Runtime != "" {
		err = point(filepath.Join(b.Data, SocketFile), filepath.Join(b.Runtime, SocketFile))
	}
	if err != nil {
		p.close()
		return nil, fmt.Errorf("the control socket can't be made: %w", err)
	}
	s := &Server{l: l, path: p}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.http = http.Server{
		Handler:           b.Handler(),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(b.Log.Handler(), slog.LevelWarn),
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	return s, nil
}

func listenAt(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := admit(path); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// point lets who names the data folder find a socket that lies elsewhere.
func point(from, to string) error {
	if err := os.Remove(from); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Symlink(to, from)
}

// Start answers calls until Close. The Box must be complete.
func (s *Server) Start() { s.wg.Go(func() { s.http.Serve(s.l) }) }

// Close stops listening and waits for the calls that are being answered: they
// are ended after a second, and cut off when ctx ends.
func (s *Server) Close(ctx context.Context) error {
	late := time.AfterFunc(grace, s.cancel)
	err := s.http.Shutdown(ctx)
	if err != nil {
		s.http.Close()
	}
	late.Stop()
	s.cancel()
	s.l.Close() // when it never started
	s.wg.Wait()
	s.path.close()
	return err
}

// Handler answers the calls of the API.
func (b *Box) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, r := range routes {
		r.serve(b, mux)
	}
	mux.HandleFunc("POST "+backupPath, b.serveBackup)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusNotFound, failure{"this version of nudge knows no " + r.Method + " " + r.URL.Path})
	})
	return mux
}

// admit lets the owner and the group use the socket.
func admit(path string) error {
	if err := os.Chmod(path, 0o660); err != nil {
		return err
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		return nil // no such group: only the owner
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil {
		return nil
	}
	if err := os.Chown(path, -1, gid); err != nil && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}

// socketPath is a name for the socket that is short enough: a folder deep down
// is reached by its descriptor.
type socketPath struct {
	name string
	dir  *os.File // nil: the path itself was short enough
}

func openSocketPath(dir string) (*socketPath, error) {
	name := filepath.Join(dir, SocketFile)
	if len(name) <= maxSocketPath {
		return &socketPath{name: name}, nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	return &socketPath{name: fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), SocketFile), dir: d}, nil
}

func (p *socketPath) close() {
	if p.dir != nil {
		p.dir.Close()
	}
}

// Client makes calls.
type Client struct {
	box  *Box // nil: over the socket
	http *http.Client
	path *socketPath
}

// Local makes a client of a box in this process.
func Local(b *Box) *Client { return &Client{box: b} }

// Dial makes a client of the box that runs in the data folder dir.
// ErrNotRunning when none does.
func Dial(ctx context.Context, dir string) (*Client, error) {
	p, err := openSocketPath(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotRunning
	}
	if err != nil {
		return nil, err
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", p.name)
	}
	probe, err := dial(ctx, "", "")
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		p.close()
		return nil, ErrNotRunning
	case errors.Is(err, fs.ErrPermission):
		p.close()
		return nil, fmt.Errorf("you may not talk to the box in %s: run this as root, as its owner or as a member of the group %s", dir, group)
	case err != nil:
		p.close()
		return nil, fmt.Errorf("the box in %s can't be reached: %w", dir, err)
	}
	probe.Close()
	return &Client{http: &http.Client{Transport: &http.Transport{DialContext: dial}}, path: p}, nil
}

// Running tells whether the client speaks with a running box.
func (cl *Client) Running() bool { return cl.box == nil || cl.box.Running }

// Close gives up the client's connections. A local box stays as it is.
func (cl *Client) Close() {
	if cl.http != nil {
		cl.http.CloseIdleConnections()
		cl.path.close()
	}
}
