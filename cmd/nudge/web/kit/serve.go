package kit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// Path is where Handler is to be mounted.
const Path = "/kit/"

// Box is what the kits need of the box.
type Box struct {
	// Root is the certificate of the box's authority (DER); it may wait for it.
	Root func(context.Context) ([]byte, error)
}

// Handler serves the kits below Path: a page of all, for each a card to print
// (NAME.htm), all files as NAME.zip and NAME.img, each file and the lines for a
// hosts file below NAME/, and the patcher.
func Handler(b Box) http.Handler { return &pages{box: b, free: make(chan struct{}, 1)} }

type pages struct {
	box  Box
	free chan struct{} // holds one while somebody's program is being patched
}

// ServeHTTP answers one request.
func (s *pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, ok := strings.CutPrefix(r.URL.Path, Path)
	switch {
	case !ok:
		s.lost(w)
	case path == "patch" && r.Method == http.MethodPost:
		s.patch(w, r)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		http.Error(w, "only GET", http.StatusMethodNotAllowed)
	case path == "":
		page(w, http.StatusOK, "Kits for old PCs", allKits())
	case path == "patch":
		page(w, http.StatusOK, "Patch a client", patchForm)
	default:
		s.kit(w, r, path)
	}
}

// kit answers for one kit: path is NAME.htm, NAME.zip, NAME.img or NAME/FILE.
func (s *pages) kit(w http.ResponseWriter, r *http.Request, path string) {
	name, file, within := strings.Cut(path, "/")
	ext := ""
	if !within {
		name, ext, _ = strings.Cut(path, ".")
	}
	k, err := Find(name)
	switch {
	case err != nil:
		s.lost(w)
	case ext == "htm":
		page(w, http.StatusOK, k.Title, card(k))
	case within && strings.EqualFold(file, "HOSTS.TXT"):
		hosts(w, r, k)
	case ext == "zip", ext == "img", within:
		s.files(w, r, k, file, ext)
	default:
		s.lost(w)
	}
}

// files answers with a kit's file, or with all of them.
func (s *pages) files(w http.ResponseWriter, r *http.Request, k Kit, file, ext string) {
	var root []byte
	var err error
	if k.NeedsRoot() {
		root, err = s.box.Root(r.Context())
	}
	var all []File
	if err == nil {
		all, err = k.Build(root)
	}
	if err != nil {
		page(w, http.StatusServiceUnavailable, "No kit", "<p>"+escape(err.Error())+"\n")
		return
	}
	switch ext {
	case "zip":
		download(w, "application/zip", k.Name+".zip", -1)
		WriteZip(w, all) // fails only when the PC is gone
	case "img":
		download(w, "application/octet-stream", k.Name+".img", FloppySize)
		WriteFloppy(w, all)
	default:
		for _, f := range all {
			if strings.EqualFold(f.Name, file) {
				send(w, f)
				return
			}
		}
		s.lost(w)
	}
}

// send answers with a single file. A certificate is opened, not kept.
func send(w http.ResponseWriter, f File) {
	switch {
	case strings.HasSuffix(f.Name, ".CRT"):
		w.Header().Set("Content-Type", "application/x-x509-ca-cert")
	case strings.HasSuffix(f.Name, ".TXT"):
		w.Header().Set("Content-Type", "text/plain")
	default:
		download(w, "application/octet-stream", f.Name, len(f.Data))
	}
	w.Write(f.Data)
}

// download announces a file to be kept; a size below zero is not known yet.
func download(w http.ResponseWriter, kind, name string, size int) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Disposition", "attachment; filename="+name)
	if size >= 0 {
		w.Header().Set("Content-Length", strconv.Itoa(size))
	}
}

// hosts are the lines for a PC's hosts file, with the address that this PC reached
// the box by.
func hosts(w http.ResponseWriter, r *http.Request, k Kit) {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if local == nil {
		page(w, http.StatusServiceUnavailable, "No lines", "<p>The box does not know by which address you reached it.\n")
		return
	}
	at, err := netip.ParseAddrPort(local.String())
	if ip := at.Addr().Unmap(); err != nil || !ip.Is4() {
		page(w, http.StatusServiceUnavailable, "No lines", "<p>Old clients need an address of four numbers: open this page by http://NUDGE/ or such an address.\n")
	} else {
		w.Header().Set("Content-Type", "text/plain")
		io.WriteString(w, HostsLines(k, ip))
	}
}

// HostsLines are the lines for a PC's hosts file that lead a kit's client to ip.
func HostsLines(k Kit, ip netip.Addr) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s: the box's address when this was written. Take these lines out to undo.\r\n", k.Title)
	for _, h := range k.Hosts {
		fmt.Fprintf(&b, "%s\t%s\r\n", ip, h)
	}
	return b.String()
}

func (s *pages) lost(w http.ResponseWriter) {
	page(w, http.StatusNotFound, "Not here", "<p>There is no such kit or file.\n")
}

// maxProgram bounds an upload, in bytes: the largest client is half of it.
const maxProgram = 16 << 20

// patch takes a program and answers with the patched one, or with what would be
// changed. It lies on disk meanwhile, not in memory.
func (s *pages) patch(w http.ResponseWriter, r *http.Request) {
	select {
	case s.free <- struct{}{}:
		defer func() { <-s.free }()
	default:
		w.Header().Set("Retry-After", "30")
		page(w, http.StatusServiceUnavailable, "Busy", "<p>Another program is being patched. Try again in a minute.\n")
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxProgram+64<<10)
	up, err := receive(r)
	if err != nil {
		page(w, http.StatusBadRequest, "Not patched", "<p>"+escape(err.Error())+"\n"+patchForm)
		return
	}
	defer up.close()
	changes, err := Patch(up.file, up.size, up.what == "undo")
	switch {
	case err != nil:
		page(w, http.StatusOK, "Not patched", "<p>"+escape(up.name+": "+err.Error())+"\n"+patchForm)
	case up.what == "look":
		page(w, http.StatusOK, "What would change in "+up.name, changed(changes))
	default:
		download(w, "application/octet-stream", up.name, int(up.size))
		io.Copy(w, io.NewSectionReader(up.file, 0, up.size))
	}
}

// upload is a program that somebody sent.
type upload struct {
	file *os.File // in no folder
	size int64
	name string
	what string // look, patch or undo
}

func (u *upload) close() { u.file.Close() }

var errNoFile = errors.New("choose a file first")

// receive reads a form: what shall be done, and then the program.
func receive(r *http.Request) (*upload, error) {
	form, err := r.MultipartReader()
	if err != nil {
		return nil, errors.New("this is no form with a file in it")
	}
	what := "patch"
	for {
		part, err := form.NextPart()
		if err == io.EOF {
			return nil, errNoFile
		}
		if err != nil {
			return nil, broken(err)
		}
		switch part.FormName() {
		case "what":
			b, err := io.ReadAll(io.LimitReader(part, 16))
			if err != nil {
				return nil, broken(err)
			}
			what = string(b)
		case "file":
			u := &upload{name: plainName(part.FileName()), what: what}
			if what != "look" && what != "patch" && what != "undo" {
				return nil, errors.New("choose what to do")
			}
			if u.file, err = os.CreateTemp("", "nudge-kit-*"); err != nil {
				return nil, fmt.Errorf("the box has no room for the file: %w", err)
			}
			os.Remove(u.file.Name()) // it lasts as long as it is open
			if u.size, err = io.Copy(u.file, part); err != nil {
				u.close()
				return nil, broken(err)
			}
			if u.size == 0 && part.FileName() == "" {
				u.close()
				return nil, errNoFile
			}
			return u, nil
		}
	}
}

// broken is why an upload came to no end.
func broken(err error) error {
	if large := new(http.MaxBytesError); errors.As(err, &large) {
		return fmt.Errorf("the file is larger than any client: at most %d MB", maxProgram>>20)
	}
	return errors.New("the file did not arrive whole; try again")
}

// plainName is the name of a file without its folders, which old browsers send too,
// and with letters that do no harm.
func plainName(name string) string {
	name = name[strings.LastIndexAny(name, `/\:`)+1:]
	name = strings.Map(func(c rune) rune {
		if c == '.' || c == '-' || c == '_' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' {
			return c
		}
		return -1
	}, name)
	if name = strings.TrimLeft(name, "."); name == "" || len(name) > 64 {
		return "patched.exe"
	}
	return name
}
