package main

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nudge/cmd/nudge/web/kit"
)

func TestKitCommands(t *testing.T) {
	nudge(t, "", "kit", "list").want(t, exitOK, "msn75  MSN Messenger 7.5")
	var all []kit.Kit
	r := nudge(t, "", "kit", "list", "--json").want(t, exitOK)
	if err := json.Unmarshal([]byte(r.out), &all); err != nil || len(all) != len(kit.List()) || len(all[0].Files) == 0 {
		t.Errorf("%v: %s", err, r.out)
	}
	nudge(t, "", "kit", "show", "wm47").want(t, exitOK, "Not proved on the real client.", "\n2. Open NUDGE.REG", "Files: NUDGE.REG, UNDO.REG")
	nudge(t, "", "kit", "show", "msn9").want(t, exitFailed, "there is no kit \"msn9\"; there are: msn1, wm47")

	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	nudge(t, "", "kit", "write", "msn1", at("msn1.img")).want(t, exitOK, "holds NUDGE.REG, UNDO.REG, README.TXT")
	if info, err := os.Stat(at("msn1.img")); err != nil || info.Size() != kit.FloppySize {
		t.Error(info, err)
	}
	nudge(t, "", "kit", "write", "msn1", at("msn1.img")).want(t, exitFailed, "exists already")
	nudge(t, "", "kit", "write", "msn1", at("msn1.exe")).want(t, exitUsage, "must end in .zip or .img")
	data := at("data")
	nudge(t, "", "kit", "write", "msn5", at("msn5.zip"), "--data", data).want(t, exitFailed, "there is no box")
	nudge(t, "", "user", "add", "alice@hotmail.com", "--data", data).want(t, exitOK)
	nudge(t, "", "kit", "write", "msn5", at("msn5.zip"), "--data", data).want(t, exitFailed, "it makes one when it first runs")
	saved := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("the root")})
	if err := os.WriteFile(filepath.Join(data, "nudge-tls.pem"), saved, 0o600); err != nil {
		t.Fatal(err)
	}
	nudge(t, "", "kit", "write", "msn5", at("msn5.zip"), "--data", data).want(t, exitOK)
	z, err := zip.OpenReader(at("msn5.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	f, err := z.Open("NUDGE.CRT")
	if err != nil {
		t.Fatal(err)
	}
	if root, err := io.ReadAll(f); err != nil || string(root) != "the root" {
		t.Errorf("%q %v", root, err)
	}
}

func TestKitPatchCommand(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	old := slices.Concat([]byte("MZ"), make([]byte, 58), []byte{64, 0, 0, 0}, []byte("PE\x00\x00messenger.hotmail.com\x00"))
	if err := os.WriteFile(at("msnmsgr.exe"), old, 0o600); err != nil {
		t.Fatal(err)
	}
	nudge(t, "", "kit", "patch", at("msnmsgr.exe"), at("new.exe")).want(t, exitOK, "00000044  messenger.hotmail.com -> nudgE\n", "places changed: 1")
	nudge(t, "", "kit", "patch", at("new.exe"), at("newer.exe")).want(t, exitFailed, "patched for this box already")
	nudge(t, "", "kit", "patch", at("msnmsgr.exe"), at("new.exe")).want(t, exitFailed, "exists already")
	nudge(t, "", "kit", "patch", "--undo", at("new.exe"), at("old.exe")).want(t, exitOK)
	if got, err := os.ReadFile(at("old.exe")); err != nil || !bytes.Equal(got, old) {
		t.Errorf("%q %v", got, err)
	}
	if _, err := os.Stat(at("newer.exe")); err == nil {
		t.Error("a refused file was made")
	}
}

// The running box serves kits with its own certificate, also by names that old PCs
// know.
func TestKitsAreServed(t *testing.T) {
	r := serve(t, t.TempDir())
	get := func(path string) string {
		t.Helper()
		resp, err := http.Get("http://" + r.ports["http"] + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 200 || resp.ContentLength != int64(len(b)) {
			t.Errorf("%s: %s, %d bytes of %d, %v", path, resp.Status, len(b), resp.ContentLength, err)
		}
		return string(b)
	}
	if got := get("/kit/"); !strings.Contains(got, "msn75.zip") {
		t.Error(got)
	}
	if root := get("/nudge.crt"); root != get("/kit/msn5/NUDGE.CRT") || !strings.Contains(get("/kit/msn5.zip"), "NUDGE.CRT") || len(get("/kit/msn5.img")) != kit.FloppySize {
		t.Error("the kit has another certificate")
	}
	r.stop().want(t, exitOK)
}
