package main

import (
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/BurntSushi/toml"

	"nudge/cmd/nudge/control"
)

// defaultConfig is read when it exists and no other file is named.
const defaultConfig = "/etc/nudge/nudge.toml"

// exampleConfig is a complete configuration with every key and its default.
//
//go:embed nudge.toml
var exampleConfig string

// off switches a listener off.
const off = "off"

// config is what the daemon is told from outside. Keys of the file and flags of
// serve have the same names. What is empty has its default.
type config struct {
	Data  string `toml:"data"`
	MSN   string `toml:"msn"`
	HTTP  string `toml:"http"`
	HTTPS string `toml:"https"`
	Names string `toml:"names"`
	Log   string `toml:"log"`

	Limits limits `toml:"limits"` // of the file alone: there are no flags for it
	Lights lights `toml:"lights"` // of the file alone: there are no flags for it
}

// load reads the file (if any) and lets what is set in flags win over it.
func load(file string, flags config) (config, error) {
	c, err := readConfig(file)
	if err != nil {
		return c, &coded{exitConfig, err}
	}
	if err := flags.check("--"); err != nil {
		return c, &coded{exitConfig, err}
	}
	for _, o := range c.options() {
		for _, f := range flags.options() {
			if f.key == o.key && *f.value != "" {
				*o.value = *f.value
			}
		}
	}
	if c.Data == "" {
		c.Data, err = defaultData()
	}
	return c, err
}

// readConfig reads and checks a file. With no name the default file is read,
// which need not exist.
func readConfig(file string) (c config, err error) {
	name := file
	if name == "" {
		name = defaultConfig
	}
	c.Limits = defaultLimits()
	meta, err := toml.DecodeFile(name, &c)
	var unreadable *fs.PathError
	switch {
	case file == "" && errors.Is(err, fs.ErrNotExist):
		return config{Limits: defaultLimits()}, nil
	case errors.As(err, &unreadable):
		return c, fmt.Errorf("%s can't be read: %w", name, unreadable.Err)
	case err != nil:
		return c, fmt.Errorf("%s: %s", name, strings.TrimPrefix(err.Error(), "toml: "))
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return c, fmt.Errorf("%s: %s: there is no such key; there are %s", name, unknown[0], strings.Join(keysBeside(unknown[0]), ", "))
	}
	return c, cmp.Or(c.check(name+": "), c.Limits.check(name+": "), c.Lights.check(name+": "))
}

// option is one key with its value and what is wrong with that.
type option struct {
	key   string
	value *string
	wrong func(string) string
}

func (c *config) options() []option {
	return []option{
		{"data", &c.Data, func(string) string { return "" }},
		{"msn", &c.MSN, addrWrong},
		{"http", &c.HTTP, addrWrong},
		{"https", &c.HTTPS, addrOrOffWrong},
		{"names", &c.Names, addrOrOffWrong},
		{"log", &c.Log, levelWrong},
	}
}

// keysBeside lists what could have been meant by a key: those of its table.
func keysBeside(key toml.Key) (all []string) {
	var c config
	if len(key) > 1 {
		switch key[0] {
		case limitsTable:
			return c.Limits.keys()
		case lightsTable:
			return c.Lights.keys()
		}
	}
	for _, o := range c.options() {
		all = append(all, o.key)
	}
	return append(all, limitsTable, lightsTable)
}

// needsRestart lists the keys that differ in now and can't change while the box
// runs.
func (c config) needsRestart(now config) (later []string) {
	was := c.options()
	for i, o := range now.options() {
		if o.key != "log" && *o.value != *was[i].value {
			later = append(later, o.key)
		}
	}
	if c.Limits != now.Limits {
		later = append(later, limitsTable)
	}
	return later
}

// check names the first bad value; where comes before its key.
func (c config) check(where string) error {
	for _, o := range c.options() {
		if *o.value == "" {
			continue
		}
		if why := o.wrong(*o.value); why != "" {
			return fmt.Errorf("%s%s: %q %s", where, o.key, *o.value, why)
		}
	}
	return nil
}

func addrWrong(v string) string {
	_, port, err := net.SplitHostPort(v)
	if err != nil {
		return "is no address; it must look like :1863 or 192.168.1.20:1863"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n > 65535 {
		return "has no port between 0 and 65535"
	}
	return ""
}

func addrOrOffWrong(v string) string {
	if v == off {
		return ""
	}
	return addrWrong(v)
}

func levelWrong(v string) string {
	if _, err := level(v); err != nil {
		return "is no level; choose debug, info, warn or error"
	}
	return ""
}

func level(v string) (l slog.Level, err error) {
	if v != "" {
		err = l.UnmarshalText([]byte(v))
	}
	return l, err
}

// systemData is the data folder of an installed box.
const systemData = "/var/lib/nudge"

// defaultData chooses the folder when nobody named one: systemd's, the
// system's for who may write there or talk to the box there, else one at home.
func defaultData() (string, error) {
	if dir, _, _ := strings.Cut(os.Getenv("STATE_DIRECTORY"), ":"); dir != "" {
		return dir, nil
	}
	const writable = 2 // W_OK
	_, err := os.Stat(filepath.Join(systemData, control.SocketFile))
	if err == nil || os.Geteuid() == 0 || syscall.Access(systemData, writable) == nil {
		return systemData, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("no data folder can be chosen (%w); name one with --data", err)
	}
	return filepath.Join(home, ".local", "share", "nudge"), nil
}
