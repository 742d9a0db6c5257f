"""Commands in, events out: one JSON object per line on stdin and stdout.

A command is {"op": NAME, "tag": N, ...}. It is answered by {"ev": "ok",
"tag": N, ...} or {"ev": "failed", "tag": N, "err": TEXT}. Every other line is
an event. The end of stdin ends the peer.
"""
import asyncio
import json
import os
import sys


def emit(ev, **fields):
    fields = {k: v for k, v in fields.items() if v is not None}
    print(json.dumps({"ev": ev, **fields}, ensure_ascii=False, default=str), flush=True)


async def serve(run):
    """Hands each command to `await run(command)`, in order, until stdin ends."""
    reader = asyncio.StreamReader(limit=1 << 24)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(sys.stdin.fileno(), "rb"))
    while line := await reader.readline():
        command = {}
        try:
            command = json.loads(line)
            result = await run(command) or {}
            emit("ok", tag=command.get("tag"), **result)
        except Exception as err:
            emit("failed", tag=command.get("tag"), op=command.get("op"), err=repr(err))
