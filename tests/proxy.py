"""A way to the database that can be cut, frozen, made slow, or told to refuse commands."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from typing import Any

import bson

WRITES = ("insert", "update", "delete", "findAndModify")
QUOTA = {"ok": 0.0, "code": 8000, "codeName": "AtlasError", "errmsg": "you are over your space quota"}
_MESSAGE = 2013  # OP_MSG


class Proxy:
    """Set `delay_s` (before each command), `frozen`, or `refuse`: {a command: its answer}, in `refused_in` only."""

    def __init__(self, uri: str) -> None:
        host, _, port = uri.split("/")[2].rpartition(":")
        self._to = (host, int(port))
        self.delay_s, self.frozen, self.away = 0.0, False, False
        self.refuse: dict[str, dict[str, Any]] = {}
        self.refused_in: set[str] = set()  # collections; none: in all
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.uri = uri.replace(f"{host}:{port}", f"127.0.0.1:{self._listener.getsockname()[1]}")
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def off(self) -> None:
        """Cut every connection, and let no new one through."""
        self.away = True
        for each in list(self._open):
            _shut(each)

    def on(self) -> None:
        """Let everything through again."""
        self.away = self.frozen = False
        self.delay_s, self.refuse = 0.0, {}

    def over_quota(self) -> None:
        """Answer every ping and read, and refuse every write."""
        self.refuse = dict.fromkeys(WRITES, QUOTA)

    def close(self) -> None:
        """The end."""
        self.off()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                if self.away:
                    raise ConnectionError
                server = socket.create_connection(self._to)
            except OSError:
                _shut(client)
                continue
            self._open |= {client, server}
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for pump in (self._up, self._down):
                threading.Thread(target=self._until_shut, args=(pump, client, server), daemon=True).start()

    def _until_shut(self, pump: Any, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError, struct.error):
            pump(client, server)
        self._open -= {client, server}
        _shut(client)
        _shut(server)

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        while True:
            head = _exactly(client, 16)
            length, request, _, kind = struct.unpack("<iiii", head)
            body = _exactly(client, length - 16)
            command = bson.decode(body[5 : 5 + int.from_bytes(body[5:9], "little")]) if kind == _MESSAGE else {}
            if "hello" not in command and "ismaster" not in command:
                time.sleep(self.delay_s)
            self._thaw()
            name = next(iter(command), "")
            refusal = self.refuse.get(name)
            if refusal and (not self.refused_in or command[name] in self.refused_in):
                answer = b"\0\0\0\0\0" + bson.encode(refusal)
                client.sendall(struct.pack("<iiii", 16 + len(answer), 1, request, _MESSAGE) + answer)
            else:
                server.sendall(head + body)

    def _down(self, client: socket.socket, server: socket.socket) -> None:
        while data := server.recv(65536):
            self._thaw()
            client.sendall(data)

    def _thaw(self) -> None:
        while self.frozen and not self.away:
            time.sleep(0.02)


def _exactly(source: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        some = source.recv(count - len(data))
        if not some:
            raise ConnectionError
        data += some
    return data


def _shut(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()
