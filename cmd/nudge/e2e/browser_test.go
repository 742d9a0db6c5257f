package e2e

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// browser is a Chromium without a window, with one tab, driven over the pipe of
// its developers' protocol. Scripts of pages are off unless a test wants them.
type browser struct {
	t       testing.TB
	out     *os.File
	session string

	mu      sync.Mutex
	calls   int
	answers map[int]chan devMessage
	loads   chan struct{}
	saved   chan string // files whose download is complete
	down    string      // where they lie
}

// devMessage is an answer or an event.
type devMessage struct {
	ID     int             `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  *struct{ Message string }
}

// obj are the parameters of a call.
type obj map[string]any

// newBrowser starts Chromium. It ends with the test.
func newBrowser(t testing.TB) *browser {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("install the package chromium: %v", err)
	}
	dir := t.TempDir()
	theirIn, ourOut, err := os.Pipe()
	check(t, err)
	ourIn, theirOut, err := os.Pipe()
	check(t, err)
	log, err := os.Create(filepath.Join(dir, "chromium.log"))
	check(t, err)
	cmd := exec.Command(program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
		"--no-proxy-server", "--remote-debugging-pipe", "--user-data-dir="+filepath.Join(dir, "profile"), "about:blank")
	cmd.ExtraFiles = []*os.File{theirIn, theirOut} // 3 and 4
	cmd.Stdout, cmd.Stderr = log, log
	p, err := launch(&process{name: "chromium", log: log.Name(), cmd: cmd})
	check(t, err)
	theirIn.Close()
	theirOut.Close()
	log.Close()
	b := &browser{t: t, out: ourOut, answers: map[int]chan devMessage{}, loads: make(chan struct{}, 100), saved: make(chan string, 10), down: filepath.Join(dir, "saved")}
	read := make(chan struct{})
	go func() {
		defer close(read)
		b.read(bufio.NewReaderSize(ourIn, 1<<20))
	}()
	t.Cleanup(func() {
		b.tell("Browser.close", nil)
		select {
		case <-p.done:
		case <-time.After(patience):
			p.cmd.Process.Kill()
			<-p.done
		}
		ourOut.Close()
		ourIn.Close()
		<-read
	})
	check(t, os.Mkdir(b.down, 0o700))
	b.open()
	return b
}

// open makes the tab.
func (b *browser) open() {
	b.t.Helper()
	var made struct{ TargetID string }
	b.call("Target.createTarget", obj{"url": "about:blank"}, &made)
	var at struct{ SessionID string }
	b.call("Target.attachToTarget", obj{"targetId": made.TargetID, "flatten": true}, &at)
	b.session = at.SessionID
	b.call("Page.enable", nil, nil)
	b.call("Browser.setDownloadBehavior", obj{"behavior": "allowAndName", "downloadPath": b.down, "eventsEnabled": true}, nil)
	b.scripts(false)
}

// scripts lets pages run scripts or not.
func (b *browser) scripts(on bool) {
	b.t.Helper()
	b.call("Emulation.setScriptExecutionDisabled", obj{"value": !on}, nil)
}

// read hands out what Chromium says until it ends.
func (b *browser) read(in *bufio.Reader) {
	for {
		raw, err := in.ReadBytes(0)
		if err != nil {
			return
		}
		var m devMessage
		if err := json.Unmarshal(raw[:len(raw)-1], &m); err != nil {
			continue // nothing that is waited for
		}
		switch {
		case m.ID != 0:
			b.mu.Lock()
			answer := b.answers[m.ID]
			delete(b.answers, m.ID)
			b.mu.Unlock()
			if answer != nil {
				answer <- m
			}
		case m.Method == "Page.loadEventFired":
			b.loads <- struct{}{}
		case m.Method == "Browser.downloadProgress":
			var d struct{ GUID, State string }
			if json.Unmarshal(m.Params, &d) == nil && d.State == "completed" {
				b.saved <- d.GUID
			}
		}
	}
}

// tell makes a call and returns where its answer comes.
func (b *browser) tell(method string, params obj) chan devMessage {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls++
	answer := make(chan devMessage, 1)
	b.answers[b.calls] = answer
	raw, _ := json.Marshal(struct {
		ID      int    `json:"id"`
		Method  string `json:"method"`
		Params  obj    `json:"params,omitempty"`
		Session string `json:"sessionId,omitempty"`
	}{b.calls, method, params, b.session})
	b.out.Write(append(raw, 0)) // who waits for the answer notices
	return answer
}

func (b *browser) call(method string, params obj, result any) {
	b.t.Helper()
	select {
	case m := <-b.tell(method, params):
		if m.Error != nil {
			b.t.Fatalf("%s: %s", method, m.Error.Message)
		}
		if result != nil {
			check(b.t, json.Unmarshal(m.Result, result))
		}
	case <-time.After(2 * patience):
		b.t.Fatalf("%s: Chromium does not answer", method)
	}
}

// eval runs a script of the test's own and returns the text it comes to.
func (b *browser) eval(script string) string {
	b.t.Helper()
	var r struct {
		Result           struct{ Value any }
		ExceptionDetails *struct {
			Exception struct{ Description string }
		}
	}
	b.call("Runtime.evaluate", obj{"expression": script, "returnByValue": true}, &r)
	if r.ExceptionDetails != nil {
		b.t.Fatalf("%s\n%s\n%s", script, r.ExceptionDetails.Exception.Description, b.text())
	}
	return fmt.Sprint(r.Result.Value)
}

// text is what a person sees.
func (b *browser) text() string { b.t.Helper(); return b.eval("document.body.innerText") }

// sees checks that each text is on the page.
func (b *browser) sees(texts ...string) *browser {
	b.t.Helper()
	page := b.text()
	for _, s := range texts {
		if !strings.Contains(page, s) {
			b.t.Fatalf("the page at %s does not say %q:\n%s", b.eval("location.href"), s, page)
		}
	}
	return b
}

// await runs do and waits until the page that it leads to is there.
func (b *browser) await(do func()) *browser {
	b.t.Helper()
	for len(b.loads) > 0 {
		<-b.loads
	}
	do()
	select {
	case <-b.loads:
	case <-time.After(3 * patience):
		b.t.Fatalf("no page came; this one is\n%s", b.text())
	}
	return b
}

func (b *browser) visit(url string) *browser {
	b.t.Helper()
	return b.await(func() { b.call("Page.navigate", obj{"url": url}, nil) })
}

// fill types into the fields of the form that has a field called first.
func (b *browser) fill(fields ...string) *browser {
	b.t.Helper()
	for i := 0; i < len(fields); i += 2 {
		name, _ := json.Marshal(fields[i])
		value, _ := json.Marshal(fields[i+1])
		b.eval(fmt.Sprintf(`(() => { const e = [...document.querySelectorAll("[name]")].find(e => e.name === %s && e.type !== "hidden");
			if (!e) throw new Error("there is no field " + %[1]s);
			if (e.type === "checkbox") e.checked = true; else e.value = %s;
			if (e.tagName === "SELECT" && e.value !== %[2]s) throw new Error(%[2]s + " can't be chosen"); })()`, name, value))
	}
	return b
}

// press presses the button, or follows the link, with a text.
func (b *browser) press(text string) *browser {
	b.t.Helper()
	return b.await(func() { b.click(text) })
}

func (b *browser) click(text string) {
	b.t.Helper()
	want, _ := json.Marshal(text)
	b.eval(fmt.Sprintf(`(() => { const e = [...document.querySelectorAll("input[type=submit], button, a")].find(e => (e.value || e.textContent).trim() === %s);
		if (!e) throw new Error("there is no button or link " + %[1]s); e.click(); })()`, want))
}

// choose puts a file into the page's file field.
func (b *browser) choose(file string) *browser {
	b.t.Helper()
	var r struct{ Result struct{ ObjectID string } }
	b.call("Runtime.evaluate", obj{"expression": `document.querySelector("input[type=file]")`}, &r)
	b.call("DOM.setFileInputFiles", obj{"files": []string{file}, "objectId": r.Result.ObjectID}, nil)
	return b
}

// save presses a button whose answer is a file, and returns where it lies.
func (b *browser) save(text string) string {
	b.t.Helper()
	b.click(text)
	select {
	case name := <-b.saved:
		return filepath.Join(b.down, name)
	case <-time.After(2 * patience):
		b.t.Fatalf("no file came:\n%s", b.text())
	}
	return ""
}

// size makes the window as large as a screen; a phone's pages are scaled.
func (b *browser) size(width, height int, phone bool) {
	b.t.Helper()
	b.call("Emulation.setDeviceMetricsOverride", obj{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}, nil)
}

// picture is the page as it looks, in PNG.
func (b *browser) picture() []byte {
	b.t.Helper()
	var r struct{ Data string }
	b.call("Page.captureScreenshot", obj{"format": "png"}, &r)
	png, err := base64.StdEncoding.DecodeString(r.Data)
	check(b.t, err)
	return png
}
