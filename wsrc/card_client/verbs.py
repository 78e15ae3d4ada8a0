# SPDX-License-Identifier: Apache-2.0
"""The PC/SC verbs of a session, carried out: status, control, attributes."""

from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.readers.base import Direct


def carry_out(asked: m.ReaderQuestion, held: Direct, reader_name: str) -> m.ForwardedAck:
    """
    Do what is asked, in the thread of the reader, and return the answer.

    Raises:
        RefusedError: If the reader cannot do that; nothing was done.
        CardError: If it failed.
    """
    match asked:
        case m.Status():
            now = held.status()
            return m.StatusAck(
                id=asked.id,
                session=asked.session,
                reader_name=reader_name,
                states=now.states,
                protocol=now.protocol,
                atr=Octets(now.atr) if now.atr else None,
            )
        case m.Control():
            response = Octets(held.control(asked.number, bytes(asked.data)))
            return m.ControlAck(id=asked.id, session=asked.session, response=response)
        case m.GetAttribute():
            value = Octets(held.get_attribute(asked.name))
            return m.GetAttributeAck(id=asked.id, session=asked.session, value=value)
        case m.SetAttribute():
            held.set_attribute(asked.name, bytes(asked.value))
            return m.SetAttributeAck(id=asked.id, session=asked.session)
