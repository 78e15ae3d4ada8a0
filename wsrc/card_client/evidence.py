# SPDX-License-Identifier: Apache-2.0
"""What a card host tells its audit log, and what is traced of its sessions."""

import time

from wsrc.audit import events
from wsrc.audit.events import NOWHERE, Card, Event, Recorder, Who
from wsrc.card_client.attachment import Attachment, Held
from wsrc.guard.machine import Refusal
from wsrc.protocol import messages as m
from wsrc.protocol.seals import certificate_of
from wsrc.trace.tracer import Tracer


class Evidence:
    """
    Where a card host keeps what happened; from any of its threads.

    Args:
        host: What the card host calls itself.
        audit: Where evidence goes.
        tracer: Where exchanges go, if anywhere.
    """

    def __init__(
        self, host: str = "", audit: Recorder = NOWHERE, tracer: Tracer | None = None
    ) -> None:
        self._host = host
        self._audit = audit
        self._tracer = tracer

    def record(self, event: Event, cause: str | None = None) -> None:
        """Have an event in the audit log; `cause` as of a `Recorder`."""
        self._audit.record(event, cause)

    def took(self, held: Held, info: m.ReaderInfo) -> None:
        """Tell that a session has the card now, or the reader without it."""
        self.record(
            events.Took(
                session=held.session[:8],
                who=_who(held),
                card=self._card(info),
                share=str(held.share),
                sealed=held.boxes is not None,
                certificate=None if held.offer is None else certificate_of(held.offer),
            )
        )
        if self._tracer is not None and isinstance(held, Attachment):
            line = held.line
            if line.trace is None:
                line.trace = self._tracer.card(info.name)
            line.trace.powered(held.session, held.connection.atr)

    def gave_back(self, held: Held, info: m.ReaderInfo, why: str, *, asked: bool = False) -> None:
        """Tell that a session has ended, because its user or the server wanted it where `asked`."""
        self.record(
            events.GaveBack(
                session=held.session[:8],
                who=_who(held),
                card=self._card(info),
                why=why,
                held_s=round(time.monotonic() - held.since, 3),
                commands=held.commands,
                asked=asked,
                proved=None if held.boxes is None else held.boxes.user,
            )
        )

    def reset(self, held: Held, info: m.ReaderInfo, kind: str) -> None:
        """Tell that the card was reset for a session."""
        self.record(
            events.Reset(session=held.session[:8], who=_who(held), card=self._card(info), kind=kind)
        )

    def guarded(self, info: m.ReaderInfo, refusal: Refusal, what: str) -> None:
        """Tell that the guard kept something from the card; `what` has no data."""
        card, why, rule = self._card(info), refusal.why, refusal.rule
        self.record(events.Guarded(card=card, what=what, rule=rule, why=why), info.reader)

    def _card(self, info: m.ReaderInfo) -> Card:
        return Card(
            host=self._host,
            reader=info.reader,
            reader_name=info.name,
            iccid=info.iccid,
            eids=info.eids,
            atr=str(info.atr) if info.atr else None,
            label=info.label,
        )


def _who(held: Held) -> Who:
    return Who(0, held.holder)
