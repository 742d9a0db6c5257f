package msnclient

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Gateway is the way to a server over HTTP (MSNP.md E). Its Dial is a
// Config.Dial. The zero value of everything but Connect and Host makes an
// obedient client: one request at a time on one connection, and a poll every two
// seconds.
type Gateway struct {
	// Connect opens an HTTP connection, to the gateway or to a proxy.
	Connect func(ctx context.Context) (net.Conn, error)
	Host    string // what the client calls the gateway
	// Absolute names the host in the request line too, as to a proxy.
	Absolute bool
	// Old asks with HTTP/1.0, one connection for each request.
	Old bool
	// Every is the time between polls; 0 means two seconds.
	Every time.Duration
	// Eager has a poll that the server holds always on its way, and sends
	// commands and more polls meanwhile, over a second connection: BitlBee
	// and MSN 5 do that with commands, against the rule (MSNP.md H.2).
	Eager bool
}

// pollTime is the usual time between polls, lifespan how long the server may hold a poll, retries how often a request
// is repeated whose connection broke, as real clients do.
const (
	pollTime = 2 * time.Second
	lifespan = 30 * time.Second
	retries  = 100
	retryGap = 50 * time.Millisecond
)

// Dial opens a session at the first command that is written. The connection
// ends when the server ends the session, with Close without a word to the server.
func (g *Gateway) Dial(_ context.Context, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	near, far := net.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	p := &polling{g: g, ip: host, pipe: far, ctx: ctx, cancel: cancel, wrote: make(chan []byte), over: make(chan struct{})}
	p.wg.Go(p.write)
	p.wg.Go(p.run)
	return &gatewayConn{near, p}, nil
}

// gatewayConn is the client's end. Close waits for the session's goroutines.
type gatewayConn struct {
	net.Conn
	p *polling
}

func (c *gatewayConn) Close() error {
	err := c.Conn.Close()
	c.p.cancel()
	c.p.wg.Wait()
	return err
}

// polling is one session: write hands on what the client says, run asks. An
// eager one has a second asker.
type polling struct {
	g      *Gateway
	ip     string
	pipe   net.Conn
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	wrote  chan []byte
	over   chan struct{} // closed when the session is
	once   sync.Once

	mu sync.Mutex
	id string
}

// write hands on what the client says, until it closes.
func (p *polling) write() {
	defer p.cancel()
	buf := make([]byte, 32<<10)
	for {
		n, err := p.pipe.Read(buf)
		if err != nil {
			return
		}
		select {
		case p.wrote <- bytes.Clone(buf[:n]):
		case <-p.ctx.Done():
			return
		}
	}
}

// run opens the session with the first command and keeps it.
func (p *polling) run() {
	defer p.pipe.Close()
	defer p.cancel()
	select {
	case body := <-p.wrote:
		server := "NS"
		if bytes.HasPrefix(body, []byte("USR ")) || bytes.HasPrefix(body, []byte("ANS ")) {
			server = "SB"
		}
		every := p.g.Every
		if every == 0 {
			every = pollTime
		}
		a := &asker{p: p}
		defer a.close()
		if a.ask("Action=open&Server="+server+"&IP="+p.ip, body) != nil {
			return
		}
		if !p.g.Eager {
			a.work(p.wrote, every, "")
			return
		}
		// When one hears that the session is over, the other still gets its
		// answer.
		var second sync.WaitGroup
		second.Go(func() {
			b := &asker{p: p}
			defer b.close()
			b.work(p.wrote, every, "")
		})
		a.work(nil, 0, fmt.Sprintf("&Lifespan=%d", lifespan/time.Second))
		second.Wait()
	case <-p.ctx.Done():
	}
}

// asker sends requests over one HTTP connection at a time.
type asker struct {
	p  *polling
	c  net.Conn
	br *bufio.Reader
}

// work sends commands and polls until the session ends; how is added to a poll.
func (a *asker) work(commands <-chan []byte, every time.Duration, how string) {
	for {
		var err error
		select {
		case body := <-commands:
			err = a.ask("SessionID=%s", body)
		case <-time.After(every):
			err = a.ask("Action=poll&SessionID=%s"+how, nil)
		case <-a.p.over:
			return
		case <-a.p.ctx.Done():
			return
		}
		if err != nil {
			a.p.once.Do(func() { close(a.p.over) })
			return
		}
	}
}

// ask sends one request until it has an answer, and passes that on to the
// client. Any error ends the session.
func (a *asker) ask(query string, body []byte) error {
	if strings.Contains(query, "%s") {
		a.p.mu.Lock()
		query = fmt.Sprintf(query, a.p.id)
		a.p.mu.Unlock()
	}
	var err error
	for range retries {
		var resp *http.Response
		var data []byte
		if resp, data, err = a.once(query, body); err == nil {
			return a.p.took(resp, data)
		}
		a.close()
		select {
		case <-time.After(retryGap):
		case <-a.p.ctx.Done():
			return a.p.ctx.Err()
		}
	}
	return err
}

// once tries a request.
func (a *asker) once(query string, body []byte) (*http.Response, []byte, error) {
	if a.c == nil {
		c, err := a.p.g.Connect(a.p.ctx)
		if err != nil {
			return nil, nil, err
		}
		a.c, a.br = c, bufio.NewReader(c)
	}
	c := a.c
	stop := context.AfterFunc(a.p.ctx, func() { c.Close() })
	defer stop()
	target, version, extra := "/gateway/gateway.dll?"+query, "HTTP/1.1", ""
	if a.p.g.Absolute {
		target, extra = "http://"+a.p.g.Host+target, "Proxy-Connection: Keep-Alive\r\n"
	}
	if a.p.g.Old {
		version, extra = "HTTP/1.0", ""
	}
	head := fmt.Sprintf("POST %s %s\r\nHost: %s\r\nUser-Agent: MSMSGS\r\n%sContent-Type: application/x-msn-messenger\r\nContent-Length: %d\r\n\r\n",
		target, version, a.p.g.Host, extra, len(body))
	if _, err := a.c.Write(append([]byte(head), body...)); err != nil {
		return nil, nil, err
	}
	resp, err := http.ReadResponse(a.br, nil)
	if err != nil {
		return nil, nil, err
	}
	data, err := io.ReadAll(resp.Body)
	if resp.Close {
		a.close()
	}
	return resp, data, err
}

func (a *asker) close() {
	if a.c != nil {
		a.c.Close()
		a.c = nil
	}
}

// took passes the data of an answer on and notes the session's newest id.
func (p *polling) took(resp *http.Response, data []byte) error {
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the gateway answered %s: %s", resp.Status, data)
	}
	last := false
	for item := range strings.SplitSeq(resp.Header.Get("X-MSN-Messenger"), "; ") {
		if id, ok := strings.CutPrefix(item, "SessionID="); ok {
			p.mu.Lock()
			p.id = id
			p.mu.Unlock()
		}
		last = last || item == "Session=close"
	}
	if len(data) > 0 {
		if _, err := p.pipe.Write(data); err != nil {
			return err
		}
	}
	if last {
		return errors.New("the server ended the session")
	}
	return nil
}
