// Command nudge is an MSN Messenger server for the home network, whose users'
// contacts live on Matrix and XMPP.
//
// This package is the outside of the box: command line, configuration, the
// ports, and the one place that names concrete networks (networks.go). What a
// command does to the box it does through package control: over the socket of
// the running box, or on the data folder itself when none runs.
//
// main makes one context that ends with SIGINT or SIGTERM; run does everything
// else and is what the tests call.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"nudge/cmd/nudge/command"
	"nudge/store"
)

// Exit codes, those of sysexits.h where there is one.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 64
	exitLater  = 75 // done, but the link is not up yet
	exitConfig = 78 // configuration or database can't be used: do not restart
)

const description = `An MSN Messenger server for the home network, whose users' contacts live on Matrix and XMPP.

Without a command it serves. Commands talk to the running box, and open the data folder themselves when none runs. Each has --help with an example.

Exit codes: 0 done, 1 failed, 64 wrong usage, 75 done but the link is not up yet, 78 configuration or database can't be used.`

// cli is the command line.
type cli struct {
	globals

	Serve   serveCmd   `cmd:"" default:"withargs" help:"Run the server (also without any command)."`
	Demo    demoCmd    `cmd:"" help:"Show the box at work: two old clients meet on a throw-away one."`
	User    userCmd    `cmd:"" help:"Accounts: add, list, passwd, set, remove, import."`
	Link    linkCmd    `cmd:"" help:"Links of accounts to other networks: add, list, show, set, test, remove."`
	Gateway gatewayCmd `cmd:"" help:"One connection to a server for all accounts: add, list, set, remove."`
	Contact contactCmd `cmd:"" help:"Contacts of an account: add, list, remove."`
	Kit     kitCmd     `cmd:"" help:"Kits that lead old PCs here: list, show, write; patch a client."`
	Record  recordCmd  `cmd:"" help:"Write down what a client says, without anything private, for a test."`
	Setting settingCmd `cmd:"" help:"Show or change settings of the whole box."`
	Status  statusCmd  `cmd:"" help:"Show how the box is."`
	Doctor  doctorCmd  `cmd:"" help:"Look for what is wrong and say what to do."`
	Logs    logsCmd    `cmd:"" help:"Say how to read the log."`
	Led     ledCmd     `cmd:"" help:"Lights: test, off."`
	Backup  backupCmd  `cmd:"" help:"Write a backup of the whole box, sealed with a passphrase."`
	Restore restoreCmd `cmd:"" help:"Make an empty data folder out of a backup."`
	Check   checkCmd   `cmd:"" help:"Check a database without changing it."`
	Version versionCmd `cmd:"" help:"Show the version."`
}

// globals are the flags of every command.
type globals struct {
	Config string `placeholder:"FILE" help:"Configuration file; default /etc/nudge/nudge.toml when there is one."`
	Data   string `placeholder:"DIR" help:"Data folder; default $$STATE_DIRECTORY, /var/lib/nudge, or .local/share/nudge at home."`
	JSON   bool   `name:"json" help:"Answer in JSON, for scripts."`
}

// env is what a command works with.
type env struct {
	globals
	ctx      context.Context
	stdin    *lineReader
	stdout   io.Writer
	stderr   io.Writer
	linkArgs []string // of link add and gateway add: the flags of the network's form
}

// runner is what every command is.
type runner interface{ Run(*env) error }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run executes one command line and returns its exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var c cli
	args, linkArgs := splitLinkArgs(args)
	line, err := command.Parse(&c, args)
	if err != nil {
		fmt.Fprintf(stderr, "nudge: %v; nudge --help shows how\n", err)
		return exitUsage
	}
	e := &env{globals: c.globals, ctx: ctx, stdin: newLineReader(stdin), stdout: stdout, stderr: stderr, linkArgs: linkArgs}
	if line.Help {
		err = line.WriteHelp(stdout, "nudge", description)
	} else {
		err = line.Command.(runner).Run(e)
	}
	if err != nil {
		return e.fail(err)
	}
	return exitOK
}

// coded is an error with an exit code of its own. Without words it was told
// already.
type coded struct {
	code int
	err  error
}

func (c *coded) Error() string {
	if c.err == nil {
		return ""
	}
	return c.err.Error()
}

func (c *coded) Unwrap() error { return c.err }

// fail tells a person what went wrong and chooses the exit code.
func (e *env) fail(err error) int {
	if text := err.Error(); text != "" {
		fmt.Fprintln(e.stderr, "nudge:", text)
	}
	var c *coded
	var unusable *store.Unusable
	switch {
	case errors.As(err, &c):
		return c.code
	case errors.As(err, &unusable):
		return exitConfig
	}
	return exitFailed
}

// usage is a mistake on the command line.
func usage(format string, args ...any) error {
	return &coded{exitUsage, fmt.Errorf(format, args...)}
}
