# SPDX-License-Identifier: Apache-2.0
"""TEMPORARY: a road that loses nothing."""

from __future__ import annotations

import msgspec


class Transmit(msgspec.Struct, frozen=True):
    octets: bytes


class Delivered(msgspec.Struct, frozen=True):
    octets: bytes


class Up(msgspec.Struct, frozen=True):
    run: str


class Down(msgspec.Struct, frozen=True):
    why: str


Effect = Transmit | Delivered | Up | Down


class Neighbour:
    def __init__(self, me, name, now):
        self.me, self.name, self.run, self.up = me, name, "", False
        self.heard_at = now

    def here(self, run, now):
        if run == self.run and self.up:
            return []
        out = []
        if self.up:
            out.append(Down("another run"))
        self.run, self.up, self.heard_at = run, True, now
        return [*out, Transmit(b"H" + self.me.encode()), Up(run)]

    def received(self, octets, now):
        self.heard_at = now
        if octets[:1] == b"H":
            return self.here(octets[1:].decode(), now)
        if octets[:1] == b"C":
            was, self.up = self.up, False
            return [Down("closed")] if was else []
        if octets[:1] == b"P":
            return []
        return [Delivered(octets[1:])] if self.up else []

    def send(self, item, now):
        return [Transmit(b"I" + item)]

    def close(self, now):
        was, self.up = self.up, False
        return [Transmit(b"C"), *([Down("we end")] if was else [])]

    def deadline(self):
        return self.heard_at + 4 if self.up else None

    def tick(self, now):
        if self.up and now >= self.heard_at + 4:
            self.up = False
            return [Down("silent")]
        return []
