"""Speaks to servers on this machine: TCP, UDP, Unix sockets by path and by abstract name, and the wider network."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

import numpy as np


def method(public: dict[str, np.ndarray[Any, Any]], seed: int) -> Any:
    tcp, udp = int(public["tcp"]), int(public["udp"])
    unix = bytes(public["unix"]).decode()
    for host in ("127.0.0.1", "::1", "localhost", "10.0.0.1", "192.168.1.1", "8.8.8.8"):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_STREAM) as line:
            line.settimeout(1)
            line.connect((host, tcp))
            print(line.recv(100))
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as line:
            print(line.sendto(b"stolen", (host, udp)), "bytes were sent to", host)
    for address in (unix, "\0" + unix):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(1)
            line.connect(address)
            print(line.recv(100))
    for kind in (socket.SOCK_RAW, socket.SOCK_PACKET if hasattr(socket, "SOCK_PACKET") else socket.SOCK_RAW):
        with contextlib.suppress(OSError):
            socket.socket(socket.AF_PACKET, kind, 3).close()
            print("a raw socket sees every packet of its own network, which has none")
    return np.zeros(len(public["x"]))
