package main

import (
	"fmt"
	"time"

	"nudge/bridge"
	"nudge/msnserver"
	"nudge/msnserver/conn"
	"nudge/msnserver/passport"
)

// limits is the table [limits] of the configuration file: all that keeps one
// client, one PC or one account from taking the box away from the others.
type limits struct {
	Line    int           `toml:"line"`
	Payload int           `toml:"payload"`
	Queue   int           `toml:"queue"`
	SignIn  time.Duration `toml:"sign_in_time"`

	Connections int `toml:"connections"`
	PerAddress  int `toml:"connections_per_address"`

	Connects      int `toml:"connects_per_second"`
	ConnectsBurst int `toml:"connects_burst"`

	Commands      int `toml:"commands_per_second"`
	CommandsBurst int `toml:"commands_burst"`
	Messages      int `toml:"messages_per_second"`
	MessagesBurst int `toml:"messages_burst"`

	WrongPerAccount int           `toml:"wrong_passwords_per_account"`
	WrongPerAddress int           `toml:"wrong_passwords_per_address"`
	LongestPause    time.Duration `toml:"longest_pause"`

	Sessions int `toml:"sessions_per_account"`
	Chats    int `toml:"conversations_per_account"`
	Members  int `toml:"members_per_conversation"`
}

// defaultLimits are what holds where the file says nothing.
func defaultLimits() limits {
	m, b := msnserver.DefaultLimits(), bridge.DefaultLimits()
	return limits{
		Line: m.Line, Payload: m.Payload, Queue: m.Queue, SignIn: m.SignIn,
		Connections: m.Connections, PerAddress: m.PerSource,
		Connects: m.Connects.PerSecond, ConnectsBurst: m.Connects.Burst,
		Commands: m.NS.PerSecond, CommandsBurst: m.NS.Burst, Messages: m.SB.PerSecond, MessagesBurst: m.SB.Burst,
		WrongPerAccount: m.Passwords.PerAccount, WrongPerAddress: m.Passwords.PerSource, LongestPause: m.Passwords.Longest,
		Sessions: b.Sessions, Chats: b.Chats, Members: b.Members,
	}
}

// server is what the MSN server is told.
func (l limits) server() msnserver.Limits {
	return msnserver.Limits{
		Line: l.Line, Payload: l.Payload, Queue: l.Queue, SignIn: l.SignIn,
		Connections: l.Connections, PerSource: l.PerAddress, Connects: conn.Rate{PerSecond: l.Connects, Burst: l.ConnectsBurst},
		NS: conn.Rate{PerSecond: l.Commands, Burst: l.CommandsBurst}, SB: conn.Rate{PerSecond: l.Messages, Burst: l.MessagesBurst},
		Passwords: passport.Limits{PerAccount: l.WrongPerAccount, PerSource: l.WrongPerAddress, Longest: l.LongestPause},
	}
}

// hub is what the hub is told.
func (l limits) hub() bridge.Limits {
	return bridge.Limits{Sessions: l.Sessions, Chats: l.Chats, Members: l.Members}
}

// numbers and times name every key with its value and what that may be. The
// longest line must hold a name twice (MSNP.md A.5).
func (l *limits) numbers() []number[int] {
	return []number[int]{
		{"line", &l.Line, 1 << 10, 64 << 10},
		{"payload", &l.Payload, 2 << 10, 1 << 20},
		{"queue", &l.Queue, 64 << 10, 64 << 20},
		{"connections", &l.Connections, 1, 100_000},
		{"connections_per_address", &l.PerAddress, 1, 100_000},
		{"connects_per_second", &l.Connects, 1, 1_000_000},
		{"connects_burst", &l.ConnectsBurst, 1, 1_000_000},
		{"commands_per_second", &l.Commands, 1, 1_000_000},
		{"commands_burst", &l.CommandsBurst, 1, 1_000_000},
		{"messages_per_second", &l.Messages, 1, 1_000_000},
		{"messages_burst", &l.MessagesBurst, 1, 1_000_000},
		{"wrong_passwords_per_account", &l.WrongPerAccount, 1, 1_000_000},
		{"wrong_passwords_per_address", &l.WrongPerAddress, 1, 1_000_000},
		{"sessions_per_account", &l.Sessions, 1, 16},
		{"conversations_per_account", &l.Chats, 1, 10_000},
		{"members_per_conversation", &l.Members, 2, 1_000},
	}
}

func (l *limits) times() []number[time.Duration] {
	return []number[time.Duration]{
		{"sign_in_time", &l.SignIn, time.Second, time.Hour},
		{"longest_pause", &l.LongestPause, time.Second, 24 * time.Hour},
	}
}

// limitsTable is what the keys stand under.
const limitsTable = "limits"

func (l *limits) keys() (all []string) {
	for _, n := range l.numbers() {
		all = append(all, n.key)
	}
	for _, n := range l.times() {
		all = append(all, n.key)
	}
	return all
}

// number is one key.
type number[N int | time.Duration] struct {
	key         string
	value       *N
	least, most N
}

// check names the first bad value; where comes before its key.
func (l limits) check(where string) error {
	for _, n := range l.numbers() {
		if err := n.check(where); err != nil {
			return err
		}
	}
	for _, n := range l.times() {
		if err := n.check(where); err != nil {
			return err
		}
	}
	return nil
}

func (n number[N]) check(where string) error {
	if *n.value < n.least || *n.value > n.most {
		return fmt.Errorf("%s%s.%s: %v is not between %v and %v", where, limitsTable, n.key, *n.value, n.least, n.most)
	}
	return nil
}
