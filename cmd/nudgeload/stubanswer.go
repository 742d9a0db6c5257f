package main

import (
	"fmt"
	"strconv"
	"strings"
)

// answer says the canned line for a command.
func (p *peer) answer(f []string) {
	if len(f) < 2 {
		if len(f) == 1 && f[0] == "PNG" {
			p.tell(p, "QNG"+p.version.alive)
		}
		return
	}
	switch trid := f[1]; f[0] {
	case "VER":
		for _, v := range versions {
			if v.name == f[2] {
				p.version = v
			}
		}
		p.tell(p, "VER", trid, f[2])
	case "INF":
		p.tell(p, "INF", trid, "MD5")
	case "CVR":
		p.tell(p, "CVR", trid, f[7], f[7], f[7], "http://127.0.0.1/", "http://127.0.0.1/")
	case "USR":
		p.usr(trid, f)
	case "SYN":
		p.lists(trid)
	case "CHG":
		p.tell(p, f...)
		p.present(trid, f[2])
	case "XFR":
		p.tell(p, "XFR", trid, "SB", p.nc.LocalAddr().String(), "CKI", "17262740.1050826919.32308")
	case "CAL":
		p.call(trid, p.numbered(f[2]))
	case "ANS":
		p.join(trid, f)
	}
}

// numbered is the account of a handle.
func (p *peer) numbered(handle string) int {
	digits, _, _ := strings.Cut(strings.TrimPrefix(handle, "user"), "@")
	n, _ := strconv.Atoi(digits)
	return n
}

// usr is the sign-in, or the start of a switchboard session.
func (p *peer) usr(trid string, f []string) {
	switch {
	case p.version.name == "":
		p.number = p.numbered(f[2])
		p.room = &room{seats: []*peer{p}}
		p.tell(p, "USR", trid, "OK", f[2], p.friendly(p.number))
	case f[3] == "I":
		p.number = p.numbered(f[4])
		challenge := "1013928519.693957190"
		if f[2] == "TWN" {
			challenge = "lc=1033,id=507,tw=40,fs=1,ru=http%3A%2F%2Fmessenger%2Emsn%2Ecom,ct=1062764229,kpp=1,kv=5,ver=2.1.0173.1,tpf=43f8a4c8ed940c04e3740be46c4d1619"
		}
		p.tell(p, "USR", trid, f[2], "S", challenge)
	default:
		p.tell(p, "USR", trid, "OK", p.handle(p.number)+strings.Replace(p.version.okEnd, "NAME", p.friendly(p.number), 1))
		p.tell(p, "MSG Hotmail Hotmail", strconv.Itoa(len(profile)))
		p.mu.Lock()
		p.out = append(p.out, profile...)
		p.mu.Unlock()
		p.stub.mu.Lock()
		p.here[p.number] = p
		p.stub.mu.Unlock()
	}
}

// profile is the one message of the notification server (MSNP.md B.15).
const profile = "MIME-Version: 1.0\r\nContent-Type: text/x-msmsgsprofile; charset=UTF-8\r\nLoginTime: 1062764229\r\nEmailEnabled: 0\r\n" +
	"MemberIdHigh: 0\r\nMemberIdLow: 0\r\nlang_preference: 1033\r\npreferredEmail: user@hotmail.com\r\ncountry: \r\nPostalCode: \r\nGender: \r\n" +
	"Kid: 0\r\nAge: \r\nBDayPre: \r\nBirthday: \r\nWallet: \r\nFlags: 1027\r\nsid: 507\r\nkv: 5\r\nMSPAuth: \r\nClientIP: 127.0.0.1\r\nClientPort: 1863\r\n\r\n"

// lists answers SYN in the form of the version (MSNP.md B.6).
func (p *peer) lists(trid string) {
	const stamp, guid = "2000-01-01T00:00:00.0-00:00", "1f0c0c7a-0f9a-4a3c-9f5c-0d6d3d2f0001"
	form := p.version.lists
	from, to := p.circle(p.number)
	total := strconv.Itoa(to - from - 1)
	if form < counted {
		p.tell(p, "SYN", trid, "27")
		p.tell(p, "GTC", trid, "27 A")
		p.tell(p, "BLP", trid, "27 AL")
		if form == grouped {
			p.tell(p, "LSG", trid, "27 1 1 0 Other%20Contacts 0")
		}
		for _, list := range []string{"FL", "AL", "BL", "RL"} {
			if list == "BL" || to-from == 1 {
				p.tell(p, "LST", trid, list, "27 0 0")
				continue
			}
			group := ""
			if form == grouped && list == "FL" {
				group = " 0"
			}
			i := 0
			for n := from; n < to; n++ {
				if n != p.number {
					i++
					p.tell(p, "LST", trid, list, "27", strconv.Itoa(i), total, p.handle(n), p.friendly(n)+group)
				}
			}
		}
		return
	}
	if form == counted {
		p.tell(p, "SYN", trid, "27", total, "1")
	} else {
		p.tell(p, "SYN", trid, stamp, stamp, total, "0")
	}
	p.tell(p, "GTC A")
	p.tell(p, "BLP AL")
	if form == counted {
		p.tell(p, "LSG 0 Other%20Contacts 0")
	}
	for n := from; n < to; n++ {
		switch {
		case n == p.number:
		case form == counted:
			p.tell(p, "LST", p.handle(n), p.friendly(n), "11 0")
		case form == stamped:
			p.tell(p, "LST", "N="+p.handle(n), "F="+p.friendly(n), "C="+guid, "11")
		default:
			p.tell(p, "LST", "N="+p.handle(n), "F="+p.friendly(n), "C="+guid, "11 1")
		}
	}
}

// present shows a state to the circle and, the first time, the circle to the
// client.
func (p *peer) present(trid, state string) {
	from, to := p.circle(p.number)
	p.stub.mu.Lock()
	defer p.stub.mu.Unlock()
	for n := from; n < to; n++ {
		other := p.here[n]
		if n == p.number || other == nil || !other.seen {
			continue
		}
		if !p.seen {
			p.tell(p, "ILN", trid, "NLN", p.handle(n), p.friendly(n)+p.version.caps)
		}
		p.tell(other, "NLN", state, p.handle(p.number), p.friendly(p.number)+other.version.caps)
	}
	p.seen = true
}

// call rings an account.
func (p *peer) call(trid string, who int) {
	p.stub.mu.Lock()
	defer p.stub.mu.Unlock()
	id := p.number + 1
	p.rooms[id] = p.room
	p.tell(p, "CAL", trid, "RINGING", strconv.Itoa(id))
	if other := p.here[who]; other != nil {
		p.tell(other, "RNG", strconv.Itoa(id), p.nc.LocalAddr().String(), "CKI 849102291.520491113", p.handle(p.number), p.friendly(p.number))
	}
}

// join seats who answers a ring.
func (p *peer) join(trid string, f []string) {
	p.number = p.numbered(f[2])
	id, _ := strconv.Atoi(f[4])
	p.stub.mu.Lock()
	r := p.rooms[id]
	p.stub.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, other := range r.seats {
		p.tell(p, fmt.Sprintf("IRO %s %d %d %s %s", trid, i+1, len(r.seats), p.handle(other.number), p.friendly(other.number)))
		p.tell(other, "JOI", p.handle(p.number), p.friendly(p.number))
	}
	p.tell(p, "ANS", trid, "OK")
	r.seats = append(r.seats, p)
	p.room = r
}
