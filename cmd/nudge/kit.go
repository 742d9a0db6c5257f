package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"nudge/cmd/nudge/control"
	"nudge/cmd/nudge/web/kit"
)

// withKits serves the kits before other pages.
func (s *server) withKits(next http.Handler) http.Handler {
	kits := kit.Handler(kit.Box{Root: func(ctx context.Context) ([]byte, error) {
		root, err := control.Local(s.box).Root(ctx)
		return root.DER, err
	}})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, kit.Path) {
			kits.ServeHTTP(w, r)
		} else {
			next.ServeHTTP(w, r)
		}
	})
}

// kitCmd are the commands about kits for old PCs.
type kitCmd struct {
	List  kitList  `cmd:"" help:"List the kits."`
	Show  kitShow  `cmd:"" help:"Show what to do on the PC."`
	Write kitWrite `cmd:"" help:"Write a kit as .zip or as the image of a floppy disk."`
	Patch kitPatch `cmd:"" help:"Make a client's program call this box."`
}

type kitList struct{}

// Help is the example.
func (kitList) Help() string {
	return "The running box serves them at http://NUDGE/kit/. Example:\n\n\tnudge kit list"
}

// Run lists the kits.
func (kitList) Run(e *env) error {
	all := kit.List()
	return e.show(all, func(w io.Writer) {
		fmt.Fprintln(w, "KIT\tFOR")
		for _, k := range all {
			fmt.Fprintf(w, "%s\t%s\n", k.Name, k.ForClients)
		}
	})
}

type kitShow struct {
	Kit string `arg:"" help:"The kit, as nudge kit list names it."`
}

// Help is the example.
func (kitShow) Help() string { return "Example:\n\n\tnudge kit show msn5" }

// Run shows a kit.
func (c kitShow) Run(e *env) error {
	k, err := kit.Find(c.Kit)
	if err != nil {
		return err
	}
	return e.show(k, func(w io.Writer) {
		fmt.Fprintf(w, "%s: for %s. %s\n\n", k.Title, k.ForClients, k.Proof)
		for i, s := range k.Steps {
			fmt.Fprintf(w, "%d. %s\n", i+1, s)
		}
		fmt.Fprintf(w, "\nFiles: %s\n", strings.Join(k.Files, ", "))
	})
}

type kitWrite struct {
	Kit  string `arg:"" help:"The kit, as nudge kit list names it."`
	File string `arg:"" help:"The file to make, .zip or .img (a floppy disk of 1.44 MB); it must not exist."`
}

// Help is the example.
func (kitWrite) Help() string {
	return "Examples:\n\n\tnudge kit write msn5 msn5.zip\n\tnudge kit write msn1 msn1.img && dd if=msn1.img of=/dev/fd0"
}

// Run writes a kit.
func (c kitWrite) Run(e *env) error {
	write := kit.WriteZip
	switch strings.ToLower(filepath.Ext(c.File)) {
	case ".zip":
	case ".img", ".ima":
		write = kit.WriteFloppy
	default:
		return usage("%s: the name must end in .zip or .img", c.File)
	}
	k, err := kit.Find(c.Kit)
	if err != nil {
		return err
	}
	var root control.Root
	if k.NeedsRoot() {
		if err := e.with(mustBe, func(cl *control.Client) (err error) { root, err = cl.Root(e.ctx); return err }); err != nil {
			return err
		}
	}
	files, err := k.Build(root.DER)
	if err != nil {
		return err
	}
	if err := writeNew(c.File, func(w *os.File) error { return write(w, files) }); err != nil {
		return err
	}
	return e.say(control.Done{}, "%s holds %s. README.TXT in it says what to do.", c.File, strings.Join(k.Files, ", "))
}

type kitPatch struct {
	File string `arg:"" help:"msnmsgr.exe, msmsgs.exe or msidcrl.dll of an installed client."`
	New  string `arg:"" help:"The patched file to make; it must not exist."`
	Undo bool   `help:"Make the original of a patched file."`
}

// Help is the example.
func (kitPatch) Help() string {
	return "The names of the old servers in it become NUDGE. Not proved on the real client. Example:\n\n" +
		"\tnudge kit patch msnmsgr.exe patched.exe\n\tnudge kit patch patched.exe original.exe --undo"
}

// Run patches a program, or undoes that.
func (c kitPatch) Run(e *env) error {
	old, err := os.Open(c.File)
	if err != nil {
		return err
	}
	defer old.Close()
	var changes []kit.Change
	err = writeNew(c.New, func(f *os.File) error {
		size, err := io.Copy(f, old)
		if err != nil {
			return err
		}
		changes, err = kit.Patch(f, size, c.Undo)
		return err
	})
	if err != nil {
		return err
	}
	return e.show(changes, func(w io.Writer) {
		for _, ch := range changes {
			fmt.Fprintln(w, ch)
		}
		fmt.Fprintf(w, "%s is made; places changed: %d.\n", c.New, len(changes))
	})
}
