#!/usr/bin/python3
"""A person on Matrix (matrix-nio with its own libolm) for the tests:
matrix_peer.py HOMESERVER @USER:SERVER PASSWORD STORE

Signs in, or goes on with STORE: same device, keys and position. Accepts
invitations, reports what arrives, encrypts in encrypted rooms and shares keys
with every device. What it can't read it reads when the key comes: a server may
deliver a key after the event it is for. A message counts as sent when the server gave it an id: the
answer to `send`.

Commands: create invite [encrypted] | encrypt room | join room | leave room |
picture room name data [altered] (data in base64; altered: with a wrong hash) | file id (what a message brings, decrypted) |
invite room user | accept on | send room body [edit] | react room id key |
redact room id | hold on (keeps back the keys it shares) | typing room on | receipt room id | presence presence
[status_msg] | rooms | history room [encrypted] | raw method path [body] |
verify (the account's other device) | agree id | meet user id (a device: it gets the keys
of what is said from then on)
"""
import argparse
import asyncio
import base64
import io
import json
import logging
import os
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import logbook
import nio
import olm
from nio.crypto import Sas
from nio.store import SqliteStore

from lines import emit, serve

API = "/_matrix/client/v3"
MEGOLM = {"algorithm": "m.megolm.v1.aes-sha2"}

# nio 0.20 knows only the codes of before Matrix 1.6; libolm has today's.
Sas._mac_normal = "hkdf-hmac-sha256.v2"
Sas._mac_v1 = [Sas._mac_normal]
Sas.calculate_mac = olm.Sas.calculate_mac_fixed_base64


class Client(nio.AsyncClient):
    """nio 0.20 uses r0 paths and puts the token into the URL."""
    left = None
    held = None  # to-device messages kept back, a list while it does

    async def send(self, method, path, data=None, headers=None, trace_context=None, timeout=None):
        url = urlsplit(path)
        query = parse_qsl(url.query, keep_blank_values=True)
        headers = dict(headers or {})
        for key, value in query:
            if key == "access_token":
                headers["Authorization"] = "Bearer " + value
        query = [(k, v) for k, v in query if k != "access_token"]
        path = url.path.replace("/_matrix/client/r0/", API + "/").replace("/_matrix/media/r0/", "/_matrix/media/v3/")
        if self.held is not None and "/sendToDevice/" in path:
            self.held.append((method, url.geturl(), data, headers))
            path, data = path + "held", '{"messages":{}}'
        return await super().send(method, path + ("?" + urlencode(query) if query else ""), data, headers, trace_context, timeout)

    async def parse_body(self, response):
        """nio ignores rooms.leave and would go on treating us as a member."""
        body = await super().parse_body(response)
        if isinstance(body, dict) and "next_batch" in body:
            for room in body.get("rooms", {}).get("leave", {}):
                self.left(room)
                self.rooms.pop(room, None)
        return body


class Peer:
    def __init__(self, a):
        self.a = a
        self.accept, self.leaving = True, False
        self.locks = {}
        self.unread = []  # (room, event) without a key
        self.said = {}  # contents by id
        config = nio.AsyncClientConfig(store=SqliteStore, store_name="nio.db", store_sync_tokens=True,
                                       pickle_key="test", request_timeout=20, max_timeouts=0, max_timeout_retry_wait_time=1)
        self.c = Client(a.homeserver, a.user, store_path=a.store, config=config)
        self.c.left = lambda room: emit("left", room=room)

    async def login(self):
        c, session = self.c, os.path.join(self.a.store, "session.json")
        if os.path.exists(session):
            with open(session) as f:
                c.restore_login(**json.load(f))
        else:
            r = await c.login(self.a.password, device_name="test peer")
            if not isinstance(r, nio.LoginResponse):
                raise RuntimeError(str(r))
            with open(session, "w") as f:
                json.dump({"user_id": c.user_id, "device_id": c.device_id, "access_token": c.access_token}, f)

        def safe(callback):  # an exception in a callback would lose the rest of the sync
            async def call(*args):
                try:
                    await callback(*args)
                except Exception as err:
                    emit("callbackfailed", callback=callback.__name__, err=repr(err))
            return call
        c.add_event_callback(safe(self.event), (nio.Event,))
        c.add_event_callback(safe(self.invited), nio.InviteEvent)
        c.add_ephemeral_callback(safe(self.ephemeral), None)
        c.add_presence_callback(safe(self.presence), None)
        c.add_to_device_callback(safe(self.verification), (nio.KeyVerificationEvent,))
        if c.should_upload_keys:
            await c.keys_upload()
        self.first = True
        c.add_response_callback(self.synced, nio.SyncResponse)
        asyncio.ensure_future(self.sync())

    async def sync(self):
        while not self.leaving:  # nio takes its cancelling for a mishap
            try:
                await self.c.sync_forever(timeout=10000, full_state=True)  # nio keeps rooms in memory only
            except asyncio.CancelledError:
                return
            except Exception as err:
                emit("syncfailed", err=repr(err))
            await asyncio.sleep(0.3)

    async def synced(self, _):
        unread, self.unread = self.unread, []
        for room, e in unread:
            try:
                e = self.c.decrypt_event(e)
            except nio.EncryptionError:
                self.unread.append((room, e))
            else:
                await self.event(room, e)
        if self.first:
            self.first = False
            emit("online", user=self.c.user_id, device=self.c.device_id)

    async def invited(self, room, e):
        if isinstance(e, nio.InviteMemberEvent) and e.state_key == self.c.user_id and e.membership == "invite":
            emit("invite", room=room.room_id, frm=e.sender)
            if self.accept:
                await self.c.join(room.room_id)

    async def event(self, room, e):
        content = e.source.get("content", {})
        relation = content.get("m.relates_to") or {}
        base = {"room": room.room_id, "id": e.event_id, "frm": e.sender}
        kind = e.source.get("type")
        if isinstance(e, nio.MegolmEvent):
            self.unread.append((room, e))
            emit("undecryptable", **base)
        elif kind == "m.room.message":
            self.said[e.event_id] = content
            emit("msg", **base, body=content.get("body"), msgtype=content.get("msgtype"), decrypted=bool(e.decrypted),
                 edit=relation.get("event_id") if relation.get("rel_type") == "m.replace" else None)
        elif kind == "m.reaction":
            emit("reaction", **base, key=relation.get("key"), to=relation.get("event_id"))
        elif kind == "m.room.member":
            emit("member", **base, user=e.source.get("state_key"), membership=content.get("membership"))
        elif kind == "m.room.encryption":
            emit("encryption", **base)

    async def ephemeral(self, room, e):
        if isinstance(e, nio.TypingNoticeEvent):
            emit("typing", room=room.room_id, users=e.users)
        elif isinstance(e, nio.ReceiptEvent):
            emit("receipt", room=room.room_id, receipts=[{"id": r.event_id, "user": r.user_id} for r in e.receipts])

    async def verification(self, e):
        sas = self.c.key_verifications.get(e.transaction_id)
        if isinstance(e, nio.KeyVerificationKey):
            emit("signs", id=e.transaction_id, signs=[sign.rstrip("\ufe0f") for sign, _ in sas.get_emoji()])
        elif isinstance(e, nio.KeyVerificationMac):
            emit("verified" if sas.verified else "notverified", id=e.transaction_id)
        elif isinstance(e, nio.KeyVerificationCancel):
            emit("cancelled", id=e.transaction_id, body=e.reason)

    async def verify(self):
        for _ in range(300):
            for device in self.c.device_store.active_user_devices(self.c.user_id):
                if device.id != self.c.device_id:
                    self.check(await self.c.start_key_verification(device))
                    return
            self.c.olm.users_for_key_query.add(self.c.user_id)
            self.check(await self.c.keys_query())
            await asyncio.sleep(0.1)
        raise RuntimeError("the account has no other device")

    async def meet(self, user, device):
        for _ in range(300):
            if device in self.c.device_store[user]:
                return
            self.c.olm.users_for_key_query.add(user)  # else nio learns of it some time after the server
            self.check(await self.c.keys_query())
        raise RuntimeError("no such device")

    async def presence(self, e):
        emit("presence", frm=e.user_id, presence=e.presence, status=e.status_msg)

    async def http(self, method, path, body=None):
        headers = {"Authorization": "Bearer " + self.c.access_token, "Content-Type": "application/json"}
        data = json.dumps(body) if body is not None else None
        r = await self.c.client_session.request(method, self.a.homeserver + path, data=data, headers=headers)
        answer = json.loads(await r.read() or b"{}")
        if r.status != 200:
            raise RuntimeError(f"{method} {path}: {r.status} {answer}")
        return answer

    async def known(self, room):
        for _ in range(300):
            if room in self.c.rooms:
                return self.c.rooms[room]
            await asyncio.sleep(0.1)  # nio learns of a new room only from the next sync
        raise RuntimeError("not a member of " + room)

    async def send(self, room, kind, content):
        c, r = self.c, await self.known(room)
        async with self.locks.setdefault(room, asyncio.Lock()):
            if r.encrypted and kind != "m.reaction":
                if not r.members_synced:
                    await c.joined_members(room)
                if c.should_query_keys:
                    await c.keys_query()
                if c.olm.should_share_group_session(room):
                    await c.share_group_session(room, ignore_unverified_devices=True)
            answer = await c.room_send(room, kind, content, ignore_unverified_devices=True)
        if not isinstance(answer, nio.RoomSendResponse):
            raise RuntimeError(str(answer))
        return {"id": answer.event_id}

    async def picture(self, room, name, data, altered):
        r = await self.known(room)
        answer, keys = await self.c.upload(lambda *_: io.BytesIO(data), "image/png", name, r.encrypted, filesize=len(data))
        if not isinstance(answer, nio.UploadResponse):
            raise RuntimeError(str(answer))
        content = {"msgtype": "m.image", "body": name, "info": {"mimetype": "image/png"}}
        if keys:
            content["file"] = dict(keys, url=answer.content_uri)
            if altered:
                content["file"]["hashes"] = {"sha256": base64.b64encode(bytes(32)).decode().rstrip("=")}
        else:
            content["url"] = answer.content_uri
        return await self.send(room, "m.room.message", content)

    async def file(self, ident):
        content = self.said[ident]
        sealed = content.get("file")
        place = (sealed or content)["url"].removeprefix("mxc://")
        answer = await self.c.send("GET", f"/_matrix/client/v1/media/download/{place}", headers={"Authorization": f"Bearer {self.c.access_token}"})
        data = await answer.read()
        if answer.status != 200:
            raise RuntimeError(str(data))
        if sealed:
            data = nio.crypto.attachments.decrypt_attachment(data, sealed["key"]["k"], sealed["hashes"]["sha256"], sealed["iv"])
        return {"body": base64.b64encode(data).decode(), "type": content["msgtype"], "show": content["info"]["mimetype"], "decrypted": bool(sealed)}

    async def create(self, invite, encrypted):
        state = [{"type": "m.room.encryption", "state_key": "", "content": MEGOLM}] if encrypted else []
        r = await self.c.room_create(is_direct=True, invite=[invite], preset=nio.RoomPreset.trusted_private_chat, initial_state=state)
        self.check(r)
        path = f"{API}/user/{quote(self.c.user_id)}/account_data/m.direct"
        try:
            direct = await self.http("GET", path)
        except RuntimeError:
            direct = {}
        direct.setdefault(invite, []).append(r.room_id)
        await self.http("PUT", path, direct)
        return {"room": r.room_id}

    async def history(self, room):
        """Every message of a room, oldest first, decrypted where keys are here.

        Dendrite loses events between two pages, and makes pages of more than 100
        only when the filter says so."""
        found, token = [], None
        while True:
            path = f"{API}/rooms/{quote(room)}/messages?dir=b&filter={quote(json.dumps({'limit': 30000}))}" + (f"&from={quote(token)}" if token else "")
            answer = await self.http("GET", path)
            for raw in answer.get("chunk", []):
                e = nio.Event.parse_event(raw)
                if isinstance(e, nio.MegolmEvent):
                    e.room_id = room
                    try:
                        e = self.c.decrypt_event(e)
                    except Exception as err:
                        found.append({"id": raw["event_id"], "frm": raw["sender"], "undecryptable": repr(err)})
                        continue
                if e.source.get("type") == "m.room.message" and "body" in e.source.get("content", {}):
                    found.append({"id": raw["event_id"], "frm": raw["sender"], "type": raw["type"], "body": e.source["content"]["body"]})
            token = answer.get("end")
            if not answer.get("chunk") or not token:
                return found[::-1]

    @staticmethod
    def check(response):
        if isinstance(response, nio.ErrorResponse):
            raise RuntimeError(str(response))

    async def run(self, q):
        op, c, room = q["op"], self.c, q.get("room")
        if op == "create":
            return await self.create(q["invite"], q.get("encrypted"))
        if op == "send":
            content = {"msgtype": "m.text", "body": q["body"]}
            if q.get("edit"):
                content.update({"body": "* " + q["body"], "m.new_content": dict(content),
                                "m.relates_to": {"rel_type": "m.replace", "event_id": q["edit"]}})
            return await self.send(room, "m.room.message", content)
        if op == "picture":
            return await self.picture(room, q["name"], base64.b64decode(q["data"]), q.get("altered"))
        if op == "file":
            return await self.file(q["id"])
        if op == "react":
            relation = {"rel_type": "m.annotation", "event_id": q["id"], "key": q["key"]}
            return await self.send(room, "m.reaction", {"m.relates_to": relation})
        if op == "history":
            return {"messages": await self.history(room)}
        if op == "rooms":
            return {"rooms": {k: {"encrypted": v.encrypted, "users": list(v.users)} for k, v in c.rooms.items()}}
        if op == "raw":
            return {"body": await self.http(q["method"], q["path"], q.get("body"))}
        if op == "verify":
            await self.verify()
        elif op == "meet":
            await self.meet(q["user"], q["id"])
        elif op == "agree":
            self.check(await c.confirm_short_auth_string(q["id"]))
        elif op == "presence":  # nio repeats its own idea of presence with every sync
            c._presence = q["presence"]
            await self.http("PUT", f"{API}/presence/{quote(c.user_id)}/status", {k: q[k] for k in ("presence", "status_msg") if k in q})
        elif op == "encrypt":
            self.check(await c.room_put_state(room, "m.room.encryption", MEGOLM))
        elif op == "join":
            self.check(await c.join(room))
        elif op == "leave":
            self.check(await c.room_leave(room))
        elif op == "invite":
            self.check(await c.room_invite(room, q["user"]))
        elif op == "accept":
            self.accept = q["on"]
        elif op == "hold":
            held, c.held = c.held, [] if q["on"] else None
            for method, path, data, headers in held or []:
                await c.send(method, path, data, headers)
        elif op == "redact":
            self.check(await c.room_redact(room, q["id"]))
        elif op == "typing":
            self.check(await c.room_typing(room, q["on"], 10000))
        elif op == "receipt":
            self.check(await c.room_read_markers(room, q["id"], q["id"]))
        else:
            raise ValueError("unknown op " + op)


async def main():
    p = argparse.ArgumentParser()
    for name in ("homeserver", "user", "password", "store"):
        p.add_argument(name)
    logging.disable(logging.CRITICAL)
    logbook.NullHandler().push_application()
    peer = Peer(p.parse_args())
    os.makedirs(peer.a.store, mode=0o700, exist_ok=True)
    await peer.login()
    await serve(peer.run)
    peer.leaving = True
    await peer.c.close()


asyncio.run(main())
