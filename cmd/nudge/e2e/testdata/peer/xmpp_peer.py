#!/usr/bin/python3
"""A person on XMPP (slixmpp) for the tests: xmpp_peer.py [--quiet] JID PASSWORD HOST PORT CA

Signs in, accepts and returns subscriptions, reports what arrives, and signs in
again whenever the connection is lost. A message counts as sent when the server
has answered a ping that follows it in the same stream: event `acked`. (Stream
management would say the same, but slixmpp 1.8 loses count over a reconnect, and
with it nothing is sent a second time behind the test's back.) With --quiet it
only looks: nobody sees it, and no message comes to it.

Commands: join room nick | furnish room | part room nick | raw xml | ask to type xml | msg to body | state to state | attention to | presence show status
type | tune [artist title] | nick nick | avatar png | subscribe to | unsubscribe to | remove to | accept on | roster |
archive with [start]
"""
import argparse
import asyncio
import base64
import hashlib
import logging
import sys
from datetime import datetime, timezone
from xml.etree import ElementTree as ET

import slixmpp
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from lines import emit, serve

PLUGINS = ("xep_0030", "xep_0045", "xep_0084", "xep_0085", "xep_0115", "xep_0118", "xep_0172", "xep_0184", "xep_0199",
           "xep_0203", "xep_0224", "xep_0280", "xep_0313", "xep_0333")
REACTIONS = "{urn:xmpp:reactions:0}reactions"


class Peer(slixmpp.ClientXMPP):
    def __init__(self, a):
        super().__init__(a.jid, a.password)
        self.endpoint = (a.host, a.port)
        self.ca_certs = a.ca
        self.leaving, self.quiet = False, a.quiet
        for plugin in PLUGINS:
            self.register_plugin(plugin)
        self["xep_0184"].auto_ack = True
        self.auto_authorize = self.auto_subscribe = True
        on = self.add_event_handler
        on("session_start", self.started)
        on("message", self.message)
        on("message_error", self.message)
        wordless = MatchXPath("{jabber:client}message/" + REACTIONS)  # no "message" event without a body
        self.register_handler(Callback("reactions", wordless, self.message))
        on("attention", lambda m: emit("attention", frm=m["from"].bare))
        on("receipt_received", lambda m: emit("receipt", frm=m["from"].bare, id=m["receipt"]))
        on("marker_displayed", lambda m: emit("marker", frm=m["from"].bare, id=m["displayed"]["id"], xml=str(m)))
        on("changed_status", self.changed)
        for state in ("active", "composing", "paused", "inactive", "gone"):
            on("chatstate_" + state, lambda m, s=state: emit("chatstate", frm=m["from"].bare, state=s))
        for kind in ("subscribe", "subscribed", "unsubscribe", "unsubscribed"):
            on("presence_" + kind, lambda p, k=kind: emit("subscription", frm=p["from"].bare, type=k))
        for kind in ("user_tune", "user_nick", "avatar_metadata"):  # the whole: slixmpp's items share one iterator
            on(kind + "_publish", lambda m, k=kind: emit("published", type=k, frm=m["from"].bare, xml=str(m)))
        on("failed_auth", lambda e: emit("refused", err=str(e)))
        on("disconnected", self.lost)

    def dial(self):
        self.connect(address=self.endpoint, use_ssl=False, force_starttls=True)

    async def started(self, _):
        await self.get_roster()
        if not self.quiet:
            self.send_presence()
        emit("online", jid=self.boundjid.full, roster=self.entries())

    def lost(self, reason):
        emit("offline", err=str(reason))
        if not self.leaving:
            asyncio.get_event_loop().call_later(0.3, self.dial)

    def entries(self):
        return {jid: self.client_roster[jid]["subscription"] for jid in self.client_roster if jid != self.boundjid.bare}

    async def confirm(self, ident, body):
        try:
            await self["xep_0199"].send_ping(self.boundjid.host, timeout=60)
        except slixmpp.exceptions.IqTimeout:
            return
        emit("acked", id=ident, body=body)

    def changed(self, p):
        if p.xml.find("{http://jabber.org/protocol/muc#user}x") is not None:
            emit("occupant", room=p["from"].bare, frm=p["from"].resource, type=p["type"], xml=str(p))
            return
        emit("presence", frm=p["from"].bare, type=p["type"], show=p["show"], status=p["status"], xml=str(p))

    def message(self, m):
        if m["type"] == "error":
            emit("error", frm=m["from"].bare, id=m["id"], condition=m["error"]["condition"])
        elif m["type"] == "groupchat":
            emit("group", room=m["from"].bare, frm=m["from"].resource, id=m["id"], body=m["body"], xml=str(m), delayed=bool(m["delay"]["stamp"]))
        elif m["type"] in ("chat", "normal") and (m["body"] or m.xml.find(REACTIONS) is not None):
            emit("msg", frm=m["from"].bare, id=m["id"], body=m["body"], xml=str(m), delayed=bool(m["delay"]["stamp"]))

    async def live(self):
        await serve(self.run)
        self.leaving = True
        await self.disconnect(wait=1.0)

    async def run(self, c):
        op, to = c["op"], c.get("to")
        if op == "msg":
            m = self.make_message(mto=to, mbody=c["body"], mtype="chat")
            m["chat_state"] = "active"
            m["request_receipt"] = True
            m["id"] = self.new_id()
            m.send()
            asyncio.ensure_future(self.confirm(m["id"], c["body"]))
            return {"id": m["id"], "body": c["body"]}
        if op == "state":
            m = self.make_message(mto=to, mtype="chat")
            m["chat_state"] = c["state"]
            m.send()
        elif op == "attention":
            m = self.make_message(mto=to, mtype="headline")
            m["attention"] = True
            m.send()
        elif op == "presence":
            self.send_presence(pshow=c.get("show"), pstatus=c.get("status"), ptype=c.get("type"))
        elif op == "tune":
            await self["xep_0118"].publish_tune(artist=c.get("artist"), title=c.get("title"), timeout=20)
        elif op == "nick":
            await self["xep_0172"].publish_nick(c["nick"], timeout=20)
        elif op == "avatar":
            png = base64.b64decode(c["png"])
            about = {"id": hashlib.sha1(png).hexdigest(), "bytes": len(png), "type": "image/png"}
            await self["xep_0084"].publish_avatar(png, timeout=20)
            await self["xep_0084"].publish_avatar_metadata(about, timeout=20)
        elif op == "join":
            form = "<x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x>"
            self.send_raw("<presence to='%s/%s'>%s</presence>" % (c["room"], c["nick"], form))
        elif op == "furnish":
            iq = self.make_iq_set(ito=c["room"])
            iq.append(ET.fromstring("<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query>"))
            await iq.send(timeout=20)
        elif op == "part":
            self.send_raw("<presence type='unavailable' to='%s/%s'/>" % (c["room"], c["nick"]))
        elif op == "raw":
            self.send_raw(c["xml"])
            await self["xep_0199"].send_ping(self.boundjid.host, timeout=20)
        elif op == "ask":
            iq = self.make_iq(ito=to, itype=c["type"])
            iq.append(ET.fromstring(c["xml"]))
            try:
                answer = await iq.send(timeout=20)
            except slixmpp.exceptions.IqError as err:
                answer = err.iq
            return {"xml": str(answer)}
        elif op == "subscribe":
            self.send_presence_subscription(pto=to, ptype="subscribe")
        elif op == "unsubscribe":
            self.send_presence_subscription(pto=to, ptype="unsubscribe")
        elif op == "remove":
            await self.del_roster_item(to)
        elif op == "accept":
            self.auto_authorize = self.auto_subscribe = True if c["on"] else None
        elif op == "roster":
            await self.get_roster()
            return {"roster": self.entries()}
        elif op == "archive":
            return {"messages": await self.archive(c["with"], c.get("start"))}
        else:
            raise ValueError("unknown op " + op)

    async def archive(self, other, start):
        found = []
        start = datetime.fromtimestamp(start, timezone.utc) if start else None
        async for result in self["xep_0313"].iterate(with_jid=slixmpp.JID(other), start=start, rsm={"max": 50}):
            inner = result["mam_result"]["forwarded"]["stanza"]
            if inner["body"] and inner["type"] != "error":
                found.append({"frm": inner["from"].bare, "id": inner["id"], "body": inner["body"]})
        return found


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--quiet", action="store_true")
    for name in ("jid", "password", "host"):
        p.add_argument(name)
    p.add_argument("port", type=int)
    p.add_argument("ca")
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
    peer = Peer(p.parse_args())
    peer.dial()
    peer.loop.run_until_complete(peer.live())


main()
