package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
)

// ejabberd runs without its control script: that one insists on a user of its
// own and on a name server for Erlang nodes, and neither is of use here.
func (s *server) ejabberd() (err error) {
	program, err := exec.LookPath("erl")
	if err != nil {
		return fmt.Errorf("install the packages ejabberd and erlang-p1-sqlite3: %w", err)
	}
	libs, _ := filepath.Glob("/usr/lib/*/ejabberd-*/ebin/ejabberd.app")
	sqlite, _ := filepath.Glob("/usr/lib/erlang/lib/p1_sqlite3-*")
	if len(libs) == 0 || len(sqlite) == 0 {
		return fmt.Errorf("install the packages ejabberd and erlang-p1-sqlite3: found %q and %q", libs, sqlite)
	}
	s.Domain = "ej.test"
	s.settings.Domain, s.settings.Component, s.settings.HTTP = s.Domain, freePort(), freePort()
	s.settings.Files = freePort()
	if s.settings.PKI, err = newPKI(s.Dir, names(s.Domain)...); err != nil {
		return err
	}
	config, err := s.configure("ejabberd.yml")
	if err != nil {
		return err
	}
	s.env = []string{
		"EJABBERD_CONFIG_PATH=" + config,
		"EJABBERD_LOG_PATH=" + filepath.Join(s.Dir, "ejabberd-own.log"),
		"ERL_LIBS=" + filepath.Join(filepath.Dir(libs[0]), "../.."),
		"ERL_CRASH_DUMP_SECONDS=0",
		"HOME=" + s.Dir,
	}
	s.command = []string{
		program, "+K", "true", "-mnesia", "dir", fmt.Sprintf("%q", filepath.Join(s.Dir, "mnesia")),
		"-ejabberd", "log_rotate_count", "0", "-s", "ejabberd", "-noinput",
	}
	api := loopback(s.settings.HTTP)
	s.await = append(s.await, api, loopback(s.settings.Component), loopback(s.settings.Files))
	s.register = func(user, password string) error {
		body, err := json.Marshal(map[string]string{"user": user, "host": s.Domain, "password": password})
		if err != nil {
			return err
		}
		return post("http://"+api+"/api/register", body)
	}
	return nil
}

// post sends JSON and wants 200.
func post(url string, body []byte) error {
	resp, err := http.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return fmt.Errorf("%s: %s", resp.Status, text)
	}
	return nil
}
