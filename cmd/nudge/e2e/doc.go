// Package e2e holds the end-to-end tests: the built nudge binary, driven over
// its command line and its sockets, against real Prosody, ejabberd and
// Dendrite, with slixmpp and matrix-nio as the people at the other end (and, where
// devices are verified, mautrix in a process of its own) and small MSN clients
// (package msnclient) at this one.
//
// The servers run on loopback with their data in temporary folders, without
// systemd and without root, and end with the test binary. A missing component
// fails the tests; they never skip for that. Debian's packages are
//
//	prosody ejabberd erlang-p1-sqlite3 python3-slixmpp python3-matrix-nio python3-olm systemd chromium
//
// and Dendrite is built by the nested module homeserver into the user's cache
// folder, once: about two minutes on two cores.
//
//	go test ./cmd/nudge/e2e -timeout 25m     everything
//	go test ./cmd/nudge/e2e -short           nothing
//	NUDGE_CHAOS_ROUNDS=100 go test ./cmd/nudge/e2e -run Chaos -timeout 4h
//	NUDGE_SCREENS=1 go test ./cmd/nudge/e2e -run TestPages           takes the pictures of the README anew
package e2e
