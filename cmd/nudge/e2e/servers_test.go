package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/template"
)

// server is a real chat server on loopback. Its ports and its data stay the
// same over stop, kill and start.
type server struct {
	Kind   string // "prosody", "ejabberd", "dendrite"
	Domain string
	Dir    string // its data, configuration and log
	Port   int    // where clients connect

	settings settings
	command  []string
	env      []string
	await    []string // addresses that must listen
	proc     *process
	register func(user, password string) error
}

// settings is what the configuration templates are filled with.
type settings struct {
	Dir, Domain, Secret   string
	Port, Component, HTTP int
	Files                 int // where files are put and got
	PKI                   pki
	Presence              bool
	Registrations         []string // of application services
}

// startServer makes and starts a server of a kind in a new folder below dir.
func startServer(kind, dir string, presence bool) (*server, error) {
	dir, err := os.MkdirTemp(dir, kind+"-")
	if err != nil {
		return nil, err
	}
	s := &server{Kind: kind, Dir: dir, Port: freePort()}
	s.settings = settings{Dir: dir, Secret: "test-shared-secret", Port: s.Port, Presence: presence}
	s.await = []string{loopback(s.Port)}
	switch kind {
	case "prosody":
		err = s.prosody()
	case "ejabberd":
		err = s.ejabberd()
	case "dendrite":
		err = s.dendrite()
	default:
		err = errors.New("no such server: " + kind)
	}
	if err != nil {
		return nil, err
	}
	return s, s.Start()
}

// configure fills a template into a file of the server's folder.
func (s *server) configure(name string) (file string, err error) {
	t, err := template.ParseFiles(filepath.Join("testdata", name+".tmpl"))
	if err != nil {
		return "", err
	}
	file = filepath.Join(s.Dir, name)
	f, err := os.Create(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return file, t.Execute(f, s.settings)
}

// Addr is where clients connect.
func (s *server) Addr() string { return loopback(s.Port) }

// Start runs the server and waits until it takes connections.
func (s *server) Start() (err error) {
	if s.proc, err = spawn(s.Dir, s.Kind, s.env, s.command...); err != nil {
		return err
	}
	return s.proc.listening(s.await...)
}

// Stop ends the server politely, Kill like a crash.
func (s *server) Stop() error { return s.proc.signal(syscall.SIGTERM) }

// Kill ends the server like a crash.
func (s *server) Kill() error { return s.proc.signal(syscall.SIGKILL) }

// AddUser makes an account and returns its password.
func (s *server) AddUser(user string) (password string, err error) {
	password = "pw-" + user + "-secret"
	if err := s.register(user, password); err != nil {
		return "", fmt.Errorf("%s: account %s: %w", s.Kind, user, err)
	}
	return password, nil
}

// house is what all tests share: a folder, and one server of each kind, each
// started when it is first asked for.
var house struct {
	dir string

	mu      sync.Mutex
	servers []*server // to be ended
	shared  map[string]func() (*server, error)
}

func TestMain(m *testing.M) {
	if args := os.Getenv(phoneArgs); args != "" {
		os.Exit(runPhone(strings.Fields(args)))
	}
	os.Exit(keepHouse(m))
}

func keepHouse(m *testing.M) int {
	dir, err := os.MkdirTemp("", "nudge-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	house.dir = dir
	house.shared = map[string]func() (*server, error){}
	for _, kind := range []string{"prosody", "ejabberd", "dendrite"} {
		house.shared[kind] = sync.OnceValues(func() (*server, error) { return keep(kind, true) })
	}
	defer func() {
		house.mu.Lock()
		defer house.mu.Unlock()
		for _, s := range house.servers {
			s.Kill()
		}
	}()
	return m.Run()
}

// keep starts a server and remembers to end it.
func keep(kind string, presence bool) (*server, error) {
	s, err := startServer(kind, house.dir, presence)
	if s != nil && s.proc != nil {
		house.mu.Lock()
		house.servers = append(house.servers, s)
		house.mu.Unlock()
	}
	return s, err
}

// shared returns the server of a kind that tests share. Who stops it must take
// ownServer instead.
func sharedServer(t testing.TB, kind string) *server {
	t.Helper()
	s, err := house.shared[kind]()
	check(t, err)
	return s
}

// ownServer starts a server for one test.
func ownServer(t testing.TB, kind string, presence bool) *server {
	t.Helper()
	s, err := keep(kind, presence)
	check(t, err)
	t.Cleanup(func() {
		s.Kill()
		if t.Failed() {
			t.Logf("the end of %s's log:\n%s", kind, s.proc.tail(20))
		}
	})
	return s
}

// end2end marks a test that needs the house: not with -short, beside others.
func end2end(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("end-to-end tests take minutes; -short leaves them out")
	}
	t.Parallel()
}
