//go:build card

package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"nudge/cmd/nudge/e2e/board"
	"nudge/cmd/nudge/e2e/msnclient"
	"nudge/cmd/nudge/e2e/textbrowser"
)

// boardPatience bounds what should happen soon on an emulated board, on a machine
// that has other things to do.
const boardPatience = 8 * time.Minute

// hostSeen is this machine's loopback, as an emulated board reaches it.
const hostSeen = "10.0.2.2"

// TestCard has a box on a card in an emulated board, with linked accounts and a
// backup that its owner made. The board loses its power; the card goes into
// another one and works there. That one loses it too, and a third gets a blank
// card and the backup: everybody is back on it, what was said meanwhile comes, and
// what friends encrypted can be read. Boards, blank card and the package on it are
// of .ci/boards card, in $NUDGE_CARD; Prosody and Dendrite are on this machine.
func TestCard(t *testing.T) {
	h := newHome(t)
	h.insert("first", 1)
	h.setUp()
	h.signIn()
	h.group("Old friends", h.bobs[0].Person().Handle, "carol@hotmail.com")
	h.talk("at first")
	lists := h.signIn()
	h.client.Close()
	h.away("plugh, before the backup")
	backup := h.backup()
	device := h.device()

	h.cut()
	h.away("plugh, while the card was out")
	h.insert("first", 2)
	h.back(lists, "plugh, before the backup", "plugh, while the card was out")
	if d := h.device(); d != device {
		t.Errorf("on another board the card's box is device %s, not %s", d, device)
	}
	h.talk("on another board")
	h.client.Close()

	h.cut()
	h.away("plugh, while there was no box")
	began := time.Now()
	h.insert("second", 3)
	h.restore(backup)
	h.back(lists, "plugh, before the backup", "plugh, while there was no box")
	h.talk("from the backup")
	if d := h.device(); d == device {
		t.Errorf("restored, the box goes on with old keys as device %s", d)
	}
	h.step("from power on a blank card until all was back: %.1f minutes; ten are what its owner was promised", time.Since(began).Minutes())
	h.client.Close()
}

// home is a home with a card, a board that it is in, and old PCs.
type home struct {
	*testing.T
	began time.Time
	dir   string      // of the boards
	cards string      // where cards lie
	ports map[int]int // of the box, and where this machine has them

	me     []person // the owner, at Prosody and at Dendrite
	bobs   []peer   // his friends there
	board  *board.Board
	log    *os.File // of the board's console
	phone  *textbrowser.Browser
	trust  *x509.CertPool // of the PC, from the box's first day
	client *msnclient.Client
}

const (
	ownerHandle   = "alice@hotmail.com"
	ownerPassword = "a-good-word"
	sealedWith    = "a long passphrase"
)

func newHome(t *testing.T) *home {
	h := &home{T: t, began: time.Now(), dir: os.Getenv("NUDGE_CARD"), cards: t.TempDir(), ports: map[int]int{1863: freePort(), 80: freePort(), 443: freePort()}}
	if h.dir == "" {
		t.Fatal("NUDGE_CARD names no folder; .ci/boards card makes one")
	}
	me, bob := friends(t, sharedServer(t, "prosody"), false)
	she, eve := friends(t, sharedServer(t, "dendrite"), true)
	h.me, h.bobs = []person{me, she}, []peer{bob, eve}
	h.phone = textbrowser.New(func(ctx context.Context, _, addr string) (net.Conn, error) { return h.dial(ctx, addr) })
	t.Cleanup(func() {
		if h.board == nil {
			return
		}
		if t.Failed() {
			ctx, cancel := context.WithTimeout(context.Background(), boardPatience)
			defer cancel()
			said, err := h.board.Run(ctx, "journalctl -b -o short-monotonic -u nudge | tail -n 60")
			t.Log(said, err)
		}
		h.cut()
	})
	return h
}

// dial connects to the box, whatever its address.
func (h *home) dial(ctx context.Context, addr string) (net.Conn, error) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	for of, here := range h.ports {
		if fmt.Sprint(of) == port {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", loopback(here))
		}
	}
	return nil, fmt.Errorf("nobody would find %s", addr)
}

func (h *home) step(format string, args ...any) {
	h.Helper()
	h.Logf("%6.1f s  %s", time.Since(h.began).Seconds(), fmt.Sprintf(format, args...))
}

// soon is a context for one step.
func (h *home) soon() context.Context { return waiting(h, boardPatience) }

// insert puts a card, blank when it is new, into a board, and gives that power. The
// network knows every board under another address.
func (h *home) insert(card string, n int) {
	h.Helper()
	image := filepath.Join(h.cards, card)
	if _, err := os.Stat(image); errors.Is(err, os.ErrNotExist) {
		_, err := run("", nil, "cp", "--sparse=always", filepath.Join(h.dir, "blank"), image)
		check(h, err)
	}
	dir := filepath.Join(h.dir, fmt.Sprint(n))
	var err error
	h.log, err = os.Create(filepath.Join(dir, "console"))
	check(h, err)
	network := fmt.Sprintf("user,id=net0,dhcpstart=10.0.2.%d", 20+n)
	for of, here := range h.ports {
		network += fmt.Sprintf(",hostfwd=tcp:%s-:%d", loopback(here), of)
	}
	h.board, err = board.Start(h.soon(), dir, h.log, "-netdev", network, "-drive", "if=none,id=card,format=raw,file="+image)
	check(h, err)
	// A provider's authority is one that every system trusts.
	ca, err := os.ReadFile(h.me[0].server.settings.PKI.CA)
	check(h, err)
	h.do("mkdir -p /etc/ssl/certs; printf '%%s\\n' '%s' >/etc/ssl/certs/provider.pem; sync", strings.ReplaceAll(strings.TrimSpace(string(ca)), "\n", "' '"))
	check(h, eventually(boardPatience, func() error {
		_, err := h.board.Run(h.soon(), "systemctl --quiet is-active nudge")
		return err
	}))
	ready, err := strconv.Atoi(h.do("systemctl show --property=ActiveEnterTimestampMonotonic --value nudge"))
	check(h, err)
	h.step("board %d serves with the %s card, %.1f s after its kernel began", n, card, float64(ready)/1e6)
}

// do runs a command on the board, which must succeed.
func (h *home) do(format string, args ...any) string {
	h.Helper()
	said, err := h.board.Run(h.soon(), fmt.Sprintf(format, args...))
	check(h, err)
	return said
}

// cut takes the board's power.
func (h *home) cut() {
	check(h, h.board.Close())
	h.board = nil
	h.log.Close()
	h.step("the power is cut")
}

// sees ends the test unless the step succeeded and the page has these words.
func (h *home) sees(err error, words ...string) {
	h.Helper()
	check(h, err)
	for _, w := range words {
		if !strings.Contains(h.phone.Text(), w) {
			h.Fatalf("%q is not on the page:\n%s", w, h.phone.Text())
		}
	}
}

var bootCode = regexp.MustCompile(`(http://\S+)\s+([a-z0-9]{4}-[a-z0-9]{4})(\n|$)`)

// claim opens the pages with the code in the journal.
func (h *home) claim() {
	h.Helper()
	said := h.do("journalctl -o cat -u nudge")
	shown := bootCode.FindStringSubmatch(said)
	if shown == nil {
		h.Fatalf("the journal shows no address with a code:\n%s", said)
	}
	h.sees(h.phone.Visit(h.soon(), shown[1]), "Nobody owns these pages yet")
	h.sees(h.phone.Press(h.soon(), "Set up this box", "Code", shown[2]), "Who are you?", "Or bring back a box from its backup")
}

// setUp makes owner, another account and the links, all on the pages.
func (h *home) setUp() {
	h.Helper()
	h.claim()
	h.sees(h.phone.Press(h.soon(), "This is me", "Address", ownerHandle, "Your name", "Alice", "Password", ownerPassword), "This box is yours now")
	h.sees(h.phone.Follow(h.soon(), "Accounts"), "A new account")
	h.sees(h.phone.Press(h.soon(), "Add", "Address", "carol@hotmail.com", "Name", "Carol", "Password", "another-word"), "carol@hotmail.com")
	h.sees(h.phone.Follow(h.soon(), "My account"), "Contacts")
	h.sees(h.phone.Press(h.soon(), "Add", "Add", "carol@hotmail.com"), "carol@hotmail.com")
	server := func(p person) string { return net.JoinHostPort(hostSeen, fmt.Sprint(p.server.Port)) }
	h.sees(h.phone.Follow(h.soon(), "xmpp"), "Link and test")
	h.sees(h.phone.Press(h.soon(), "Link and test", "Address", h.me[0].ID, "Password", h.me[0].Password, "Server", server(h.me[0])))
	h.sees(h.phone.Follow(h.soon(), "matrix"), "Link and test")
	h.sees(h.phone.Press(h.soon(), "Link and test", "Homeserver", "http://"+server(h.me[1]), "User", h.me[1].User, "Password", h.me[1].Password))
	h.linked()
	check(h, eventually(boardPatience, func() error {
		if err := h.phone.Visit(h.soon(), "http://nudge/nudge.crt"); err != nil {
			return err
		}
		root, err := x509.ParseCertificate(h.phone.Saved)
		if err == nil {
			h.trust = x509.NewCertPool()
			h.trust.AddCert(root)
		}
		return err
	}))
	h.step("set up on the pages: two accounts, both links")
}

// linked waits until both links are up, with their contacts.
func (h *home) linked() {
	h.Helper()
	want := []string{h.bobs[0].Person().Handle, h.bobs[1].Person().Handle}
	check(h, eventually(boardPatience, func() error {
		if err := h.phone.Follow(h.soon(), "My account"); err != nil {
			return err
		}
		for _, w := range want {
			if !strings.Contains(h.phone.Text(), w) {
				return fmt.Errorf("%q is not on the page:\n%s", w, h.phone.Text())
			}
		}
		if strings.Count(h.phone.Text(), ": up") != 2 {
			return fmt.Errorf("not both links are up:\n%s", h.phone.Text())
		}
		return nil
	}))
}

// signIn has the PC sign in, which trusts the box since its first day.
func (h *home) signIn() msnclient.Lists {
	h.Helper()
	if h.client != nil {
		h.client.Close()
	}
	var err error
	h.client, err = msnclient.SignIn(h.soon(), msnclient.Config{
		Version: msnclient.MSNP8, Addr: "messenger.hotmail.com:1863", Handle: ownerHandle, Password: ownerPassword, Answer: true, Timeout: boardPatience,
		Dial: h.dial,
		Web: func(ctx context.Context) (net.Conn, error) {
			c, err := h.dial(ctx, "nexus.passport.com:443")
			if err != nil {
				return nil, err
			}
			secure := tls.Client(c, &tls.Config{RootCAs: h.trust, ServerName: "nexus.passport.com"})
			return secure, secure.HandshakeContext(ctx)
		},
	})
	check(h, err)
	h.Cleanup(h.client.Kill)
	lists, err := h.client.Sync(h.soon())
	check(h, err)
	check(h, h.client.SetStatus(h.soon(), "NLN"))
	return lists
}

// group makes a group of contacts.
func (h *home) group(name string, handles ...string) {
	h.Helper()
	id, err := h.client.AddGroup(h.soon(), name)
	check(h, err)
	for _, who := range handles {
		check(h, h.client.AddToGroup(h.soon(), who, id))
	}
}

// talk says something to both friends and lets them answer. Eve's room is
// encrypted: she shows only what her app could read, and took from the box's
// device.
func (h *home) talk(words string) {
	h.Helper()
	for _, friend := range h.bobs {
		who := friend.Person()
		ch := h.client.Chat(who.Handle)
		if ch == nil {
			var err error
			ch, err = h.client.Invite(h.soon(), who.Handle)
			check(h, err)
		}
		mark, from := friend.Mark(), h.client.Log.Len()
		check(h, ch.Send(h.soon(), words+" from the old client"))
		check(h, friend.Heard(h.soon(), mark, words+" from the old client"))
		check(h, friend.Say(h.soon(), words+" from the friend"))
		check(h, h.hears(who, from, words+" from the friend"))
	}
	h.step("both friends and the old client talk: %s", words)
}

// hears waits until the client shows a text from p.
func (h *home) hears(p person, from int, text string) error {
	sc := scene{client: h.client}
	_, err := sc.hears(h.soon(), from, p, text)
	return err
}

// away lets both friends say something while the owner is not there.
func (h *home) away(words string) {
	h.Helper()
	for _, friend := range h.bobs {
		check(h, friend.Say(h.soon(), words))
	}
}

// device is which of the account's devices at the homeserver the box is.
func (h *home) device() string { return ownDevice(h, h.me[1]) }

// backup makes a backup on the pages, once both messages wait in the box.
func (h *home) backup() (file string) {
	h.Helper()
	check(h, eventually(boardPatience, func() error {
		if err := h.phone.Follow(h.soon(), "At a glance"); err != nil {
			return err
		}
		if !strings.Contains(h.phone.Text(), "2 messages wait") {
			return fmt.Errorf("nothing waits:\n%s", h.phone.Text())
		}
		return nil
	}))
	h.sees(h.phone.Follow(h.soon(), "Backup"), "Write the passphrase down")
	h.sees(h.phone.Press(h.soon(), "Make a backup", "Passphrase", sealedWith))
	if h.phone.Saved == nil {
		h.Fatalf("there is no backup:\n%s", h.phone.Text())
	}
	file = filepath.Join(h.cards, "box.nudge")
	check(h, os.WriteFile(file, h.phone.Saved, 0o600))
	h.step("a backup of %d bytes is on the phone", len(h.phone.Saved))
	return file
}

// restore gives the backup to the pages of a blank box and waits for its start.
func (h *home) restore(file string) {
	h.Helper()
	h.claim()
	h.sees(h.phone.Press(h.soon(), "Restore", "Passphrase", sealedWith, "File", file), "The box starts again")
	check(h, eventually(boardPatience, func() error {
		err := h.phone.Visit(h.soon(), "http://nudge/")
		if err == nil && strings.Contains(h.phone.Text(), "Nobody owns these pages yet") {
			err = errors.New("the box is still blank")
		}
		return err
	}))
	h.step("the backup is restored")
}

// back waits until the box is as it was: the owner signs in to the pages and with
// his old PC, the lists and groups are the same, the links are up by themselves,
// and what the friends said comes.
func (h *home) back(lists msnclient.Lists, said ...string) {
	h.Helper()
	h.sees(h.phone.Visit(h.soon(), "http://nudge/"), "Sign in")
	h.sees(h.phone.Press(h.soon(), "Sign in", "Address", ownerHandle, "Password", ownerPassword), "At a glance")
	h.sees(h.phone.Follow(h.soon(), "Accounts"), ownerHandle, "carol@hotmail.com")
	now := h.signIn()
	if !reflect.DeepEqual(now.Contacts, lists.Contacts) || !reflect.DeepEqual(now.Groups, lists.Groups) {
		h.Errorf("the lists are %+v %+v, and were %+v %+v", now.Contacts, now.Groups, lists.Contacts, lists.Groups)
	}
	h.linked()
	h.step("signed in with the old password, lists and links are back")
	for _, text := range said {
		for _, friend := range h.bobs {
			check(h, h.hears(friend.Person(), 0, text))
		}
	}
	h.step("what was said meanwhile has come: %q", said)
}
