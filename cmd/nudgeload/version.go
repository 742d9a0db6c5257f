package main

import "strconv"

// proof is how a client of a version proves who it is.
type proof int

// By the hash of a challenge, by a ticket of nexus and log-in, by one of
// RST.srf (MSNP.md B.5, F).
const (
	byHash proof = iota
	byNexus
	byRST
)

// listForm is how the lists look (MSNP.md B.6).
type listForm int

// One block per list; the same with groups; one line per contact, counted; with
// names, GUIDs and timestamps; and with the network's number.
const (
	perList listForm = iota
	grouped
	counted
	stamped
	networked
)

// version is what this tool must know about a protocol version (MSNP.md I).
type version struct {
	name  string
	proof proof
	lists listForm
	okEnd string // what follows the handle in USR OK; NAME is the friendly name
	caps  string // what follows the state in CHG, ILN and NLN, with its blank
	alive string // what follows QNG
}

var versions = map[int]version{
	2:  {"MSNP2", byHash, perList, " NAME", "", ""},
	3:  {"MSNP3", byHash, perList, " NAME", "", ""},
	4:  {"MSNP4", byHash, perList, " NAME", "", ""},
	5:  {"MSNP5", byHash, perList, " NAME", "", ""},
	6:  {"MSNP6", byHash, perList, " NAME 1", "", ""},
	7:  {"MSNP7", byHash, grouped, " NAME 1", "", ""},
	8:  {"MSNP8", byNexus, counted, " NAME 1 0", " 0", ""},
	9:  {"MSNP9", byNexus, counted, " NAME 1 0", " 1073741824", " 50"},
	10: {"MSNP10", byNexus, stamped, " 1 0", " 1073741824", " 50"},
	11: {"MSNP11", byNexus, stamped, " 1 0", " 1073741824", " 50"},
	12: {"MSNP12", byRST, networked, " 1 0", " 1073741824", " 50"},
}

// crowd is who there is: accounts in circles, each of which has all others of
// its circle as contacts.
type crowd struct {
	size     int // accounts
	contacts int // of each
}

func (crowd) handle(n int) string { return "user" + strconv.Itoa(n) + "@hotmail.com" }

func (crowd) friendly(n int) string { return "User%20" + strconv.Itoa(n) }

// password is everybody's.
const password = "opensesame"

// circle is the first account of n's circle and the one after its last.
func (c crowd) circle(n int) (from, to int) {
	from = n - n%(c.contacts+1)
	return from, min(from+c.contacts+1, c.size)
}
