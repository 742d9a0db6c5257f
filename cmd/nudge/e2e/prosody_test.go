package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// names are the host names that certificates of the test servers cover.
func names(domain string) []string {
	return []string{domain, "muc." + domain, "msn." + domain, "upload." + domain, "closed." + domain}
}

func (s *server) prosody() (err error) {
	program, err := exec.LookPath("prosody")
	if err != nil {
		return fmt.Errorf("install the package prosody: %w", err)
	}
	s.Domain = "xmpp.test"
	s.settings.Domain, s.settings.Component = s.Domain, freePort()
	s.settings.Files = freePort()
	if s.settings.PKI, err = newPKI(s.Dir, names(s.Domain)...); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(s.Dir, "data"), 0o700); err != nil {
		return err
	}
	config, err := s.configure("prosody.cfg.lua")
	if err != nil {
		return err
	}
	s.command = []string{program, "-F", "--config", config}
	s.await = append(s.await, loopback(s.settings.Component), loopback(s.settings.Files))
	s.register = func(user, password string) error {
		_, err := run(s.Dir, nil, "prosodyctl", "--config", config, "register", user, s.Domain, password)
		return err
	}
	return nil
}
