# SPDX-License-Identifier: Apache-2.0
"""
What the PC/SC API answers in every situation that concerns more than one program.

It prints one line for each answer, the same for every implementation. Where a card must be taken
out or put in, it prints `?remove` or `?insert` and waits for a line on standard input.
"""

import sys
import time

from smartcard import scard

from api_calls import (
    ASK_PIN,
    DIRECT,
    EXCLUSIVE,
    LEAVE,
    MF,
    NO_BLOCKING,
    PNP,
    RAW,
    RESET,
    SHARED,
    T0,
    T1,
    UNPOWER,
    VERIFY,
    Context,
    Handle,
    ask,
    heard,
    odd,
    other,
    show,
    tell,
    waited,
)


def connecting() -> None:
    context = Context()
    name = context.readers[0]
    show("groups", scard.SCardListReaderGroups(context.number)[0])
    show("valid", scard.SCardIsValidContext(context.number))
    for share, protocols in [
        (SHARED, T0), (SHARED, T1), (SHARED, T0 | T1), (SHARED, 0), (7, T0), (0, 0), (SHARED, 8),
        (EXCLUSIVE, T0), (EXCLUSIVE, T1), (DIRECT, 0), (DIRECT, T0), (SHARED, RAW), (DIRECT, RAW),
    ]:  # fmt: skip
        result, card, protocol = scard.SCardConnect(context.number, name, share, protocols)
        show(f"connect {share} {protocols}", result, f"protocol {protocol if not result else ''}")
        if not result:
            show(" disconnect", scard.SCardDisconnect(card, RESET))
    show("no such reader", *scard.SCardConnect(context.number, name + "x", SHARED, T0)[:1])
    show("T1 in T1 reader", context.connect(number=1, protocols=T1).result)
    second = context.connect(number=1, protocols=T0 | T1)
    show("any in T1 reader", second.result, f"{second.protocol}")
    show("T0 in T1 reader", context.connect(number=1, protocols=T0).result)
    show("release", context.release())
    show("valid", scard.SCardIsValidContext(context.number))
    show("released again", context.release())


def sharing() -> None:
    one, two = Context(), Context()
    a = one.connect()
    b = two.connect()
    show("two shared", a.result, b.result, f"{one.state() & 0xFFFF:#x}")
    show("exclusive beside", two.connect(EXCLUSIVE).result)
    show("reconnect exclusive beside", b.reconnect(LEAVE, EXCLUSIVE))
    show("direct beside", two.connect(DIRECT, 0).result)
    two.release()
    show("reconnect exclusive alone", a.reconnect(LEAVE, EXCLUSIVE), f"{one.state() & 0xFFFF:#x}")
    two = Context()
    for share in (SHARED, EXCLUSIVE, DIRECT):
        show(f"beside exclusive {share}", two.connect(share, T0).result)
    show("begin in exclusive", a.begin(), a.end(), a.end(), a.status())
    show("reconnect shared", a.reconnect(LEAVE), f"{one.state() & 0xFFFF:#x}")
    show("disconnect", a.disconnect(), f"{one.state() & 0xFFFF:#x}")
    show("shared after", two.connect().result, f"{one.state() & 0xFFFF:#x}")
    show("disconnect again", a.disconnect())
    for context in (one, two):
        context.release()


def exchanging() -> None:
    context = Context()
    card = context.connect()
    show("status", card.status())
    show("select", card.transmit(MF))
    show("T1 pci", card.transmit(MF, T1))
    show("set attribute", scard.SCardSetAttrib(card.number, 0x7A007, [1]))
    show("unknown attribute", card.attribute(0x7A999))
    show("unknown control", scard.SCardControl(card.number, 0x42000001, [1])[0])
    show("disconnect oddly", card.disconnect(9))
    show(
        "reconnect oddly", card.reconnect(9), card.reconnect(LEAVE, 9), card.reconnect(LEAVE, 2, 0)
    )
    show("end oddly", card.end(9), card.end())
    show("disconnect", card.disconnect(RESET))
    raw = context.connect(SHARED, RAW)
    show("raw", raw.result, f"{raw.protocol}", raw.status())
    show("raw with T0", raw.transmit(MF, T0))
    raw.disconnect(UNPOWER)
    context.release()


def resetting() -> None:
    one, two = Context(), Context()
    a = one.connect()
    show("verify", a.transmit(MF), a.transmit(VERIFY), a.transmit(ASK_PIN))
    show("reconnect leave", a.reconnect(LEAVE), a.transmit(ASK_PIN))
    show("reconnect reset", a.reconnect(RESET), a.transmit(MF), a.transmit(ASK_PIN))
    show("reconnect unpower", a.reconnect(UNPOWER), a.transmit(MF), a.transmit(ASK_PIN))
    for disposition in (LEAVE, RESET, UNPOWER):
        b = two.connect()
        show(f"disconnect {disposition}", b.transmit(VERIFY), b.disconnect(disposition))
        show(" transmit", a.transmit(ASK_PIN))
        show(" status", a.status())
        show(" begin", a.begin())
        show(" end", a.end())
        show(" attribute", scard.SCardSetAttrib(a.number, 0x7A007, [1]))
        show(" reconnect", a.reconnect(LEAVE))
        show(" again", a.transmit(MF), a.transmit(ASK_PIN))
        show(" reset", a.reconnect(RESET), a.transmit(MF))
    b = two.connect()
    show("b resets", b.reconnect(RESET), b.transmit(MF), a.transmit(MF), a.reconnect(LEAVE))
    show("transaction", a.begin(), a.transmit(VERIFY), a.end(RESET))
    show(" own", a.status(), a.reconnect(LEAVE), a.transmit(MF), a.transmit(ASK_PIN))
    show(" other", b.status(), b.disconnect(LEAVE))
    for context in (one, two):
        context.release()


def transactions() -> None:
    one, two = Context(), Context()
    a, b = one.connect(), two.connect()
    show("nested", a.begin(), a.begin(), a.end(), a.end(), a.end())
    show("end of other", a.begin(), b.end(), a.end())
    with other("hold"):
        pass
    with other("transmit_under_lock", **{NO_BLOCKING: "1"}) as process:
        show("other is there", heard(process))
        show("begin", a.begin())
        tell(process)
        for _ in range(4):
            show(" under lock", heard(process))
        show("end", a.end())
        tell(process)
        show(" after", heard(process))
    with other("take_lock") as process:
        show("other is there", heard(process))
        a.begin()
        tell(process)
        time.sleep(0.6)
        show("end", a.end())
        show(" handed over", heard(process))
    with other("plain_transmit") as process:
        show("other is there", heard(process))
        a.begin()
        tell(process)
        time.sleep(0.4)
        show("end", a.end())
        show(" went on", heard(process))
    with other("connect_under_lock") as process:
        show("other is there", heard(process))
        a.begin()
        tell(process)
        time.sleep(0.4)
        show("end", a.end())
        show(" connected", heard(process))
    show("a after all", a.status())
    b.disconnect()
    for context in (one, two):
        context.release()


def vanishing() -> None:
    context = Context()
    a = context.connect()
    a.transmit(MF)
    for ending, holds in (("kill", "lock"), ("kill", "nothing"), ("release", "lock")):
        with other(f"vanish_{holds}") as process:
            show(f"other is there with {holds}", heard(process))
            if ending == "kill":
                process.kill()
            else:
                tell(process)
            process.wait(20)
        deadline = time.monotonic() + 10
        while context.state() & 0xFFFF0000 == 0 and time.monotonic() < deadline and not settled(a):
            time.sleep(0.01)
        show(f" after {ending}", a.begin(), a.reconnect(LEAVE), a.end())


def settled(card: Handle) -> bool:
    """Return whether nobody else has the card any more."""
    result = scard.SCardBeginTransaction(card.number)
    if result == 0:
        card.end()
    return True


def removing() -> None:
    context, two = Context(), Context()
    a = context.connect()
    b = two.connect()
    show("begin", b.begin(), b.transmit(MF))
    count = context.state() >> 16
    ask("remove")
    show("state", f"{context.state() & 0xFFFF:#x}", f"{(context.state() >> 16) - count}")
    for card in (a, b):
        show(" transmit", card.transmit(MF))
        show(" status", card.status())
        show(" begin", card.begin())
        show(" end", card.end())
        show(" reconnect", card.reconnect(LEAVE), card.reconnect(RESET))
    show("connect", context.connect().result, context.connect(EXCLUSIVE).result)
    direct = context.connect(DIRECT, 0)
    show("direct", direct.result, f"{direct.protocol}", direct.status(), direct.transmit(MF))
    show(" disconnect", direct.disconnect(RESET))
    ask("insert")
    show("state", f"{context.state() & 0xFFFF:#x}", f"{(context.state() >> 16) - count}")
    show("handle", a.transmit(MF), a.status())
    show("reconnect", a.reconnect(LEAVE), a.transmit(MF))
    show("other", b.begin(), b.disconnect(UNPOWER), a.status(), a.disconnect())
    for each in (context, two):
        each.release()


def waiting() -> None:
    context, two = Context(), Context()
    name = context.readers[0]
    result, states = context.change(0, (name, scard.SCARD_STATE_UNAWARE))
    known = states[0][1]
    show("unaware", result, f"{known & 0xFFFF:#x}", bytes(states[0][2]).hex())
    show("known", context.change(0, (name, known))[0], context.change(50, (name, known))[0])
    show("unknown reader", *odd(context.change(0, (name + "x", 0))))
    show("ignored", *odd(context.change(0, (name, scard.SCARD_STATE_IGNORE))))
    show("wrong belief", *odd(context.change(0, (name, scard.SCARD_STATE_EMPTY))))
    show("old count", *odd(context.change(0, (name, known + (1 << 16)))))
    for change in ("remove", "insert"):
        found = waited(context, (name, known), lambda change=change: ask(change))
        show(f"{change} is seen", *odd(found))
        known = found[1][0][1]
    card = two.connect()
    result, states = context.change(100, (name, known))
    show("in use", *odd((result, states)))
    used = states[0][1]
    found = waited(context, (name, used), card.disconnect)
    show("not in use", *odd(found))
    believed = name, found[1][0][1]
    found = waited(context, believed, lambda: two.connect(EXCLUSIVE), timeout_ms=600)
    show("exclusive", *odd(found))
    found = waited(context, (name, found[1][0][1]), two.release)
    show("free", *odd(found))
    known = found[1][0][1]
    found = waited(context, (name, known), lambda: scard.SCardCancel(context.number))
    show("cancel", found[0])
    show("cancel idle", scard.SCardCancel(context.number))
    show("after cancel", context.change(0, (name, known))[0])
    context.release()


def asking() -> None:
    one, two = Context(), Context()
    a, b = one.connect(), two.connect()
    show("plain", a.questions(), scard.SCardSetAttrib(a.number, 0x10103, []))
    for number in (0, 1, 0x310000, 0x312000, 0x42000FFF, 0x42FFFFFF, 0x7FFFFFFF):
        show(f"control {number:#x}", scard.SCardControl(a.number, number, [1])[0])
    show("in transaction", a.begin(), a.questions(), b.questions(), a.end())
    show("after reset", b.reconnect(RESET), a.questions(), b.questions())
    show("reconnected", a.reconnect(LEAVE), a.questions(), a.transmit(MF))
    show("reset is put off", b.disconnect(RESET), a.questions(), a.reconnect(LEAVE), a.transmit(MF))
    direct = two.connect(DIRECT, 0)
    show("direct", direct.questions(), a.transmit(MF), a.disconnect(), direct.questions())
    a = one.connect()
    ask("remove")
    show("removed", a.questions(), direct.questions(), two.connect(DIRECT, 0).questions())
    ask("insert")
    show("inserted", a.questions(), direct.questions(), direct.reconnect(LEAVE, DIRECT, 0))
    show("again", a.reconnect(LEAVE), a.transmit(MF), direct.questions())
    show("disconnected", a.disconnect(), a.questions(), direct.disconnect(), direct.questions())
    two.release()
    two = Context()
    exclusive = one.connect(EXCLUSIVE)
    show("exclusive", exclusive.questions(), two.connect(DIRECT, 0).result)
    for context in (one, two):
        context.release()


def plugging() -> None:
    context = Context()
    believed = scard.SCARD_STATE_UNAWARE
    for what in ("unaware", "as told"):
        result, states = context.change(100, (PNP, believed))
        # What is counted differs between versions: readers, their slots, what came and went.
        believed = states[0][1] & ~0xFFFF
        show(f"pnp {what}", result, f"{states[0][1] & 0xFFFF:#x}", believed != 0)
    result, states = context.change(0, (PNP, 0), (context.readers[0], 0))
    show("pnp and reader", result, f"{states[0][1] & 0xFFFF:#x}", f"{states[1][1] & 0xFFFF:#x}")
    context.release()


# In other processes


def go() -> None:
    """Say that the other process is there, and wait for the first one."""
    print("there", flush=True)
    sys.stdin.readline()


def hold() -> None:
    Context().connect()


def transmit_under_lock() -> None:
    card = Context().connect()
    go()
    show("transmit", card.transmit(MF))
    show("status", card.status())
    show("reconnect", card.reconnect(LEAVE))
    show("disconnect", card.disconnect(LEAVE))
    sys.stdin.readline()
    show("connect", Context().connect().result)


def take_lock() -> None:
    card = Context().connect()
    go()
    begun = time.monotonic()
    result = card.begin()
    show("begin", result, str(0.4 < time.monotonic() - begun < 2.0), card.end())


def plain_transmit() -> None:
    card = Context().connect()
    go()
    begun = time.monotonic()
    answer = card.transmit(MF)
    show("transmit", answer, str(0.2 < time.monotonic() - begun < 2.0))


def connect_under_lock() -> None:
    context = Context()
    go()
    begun = time.monotonic()
    result = context.connect().result
    show("connect", result, str(0.2 < time.monotonic() - begun < 2.0))


def vanish_lock() -> None:
    context = Context()
    card = context.connect()
    card.begin()
    go()
    context.release()


def vanish_nothing() -> None:
    context = Context()
    context.connect()
    go()
    context.release()


PARTS = (connecting, sharing, exchanging, resetting, transactions, vanishing, removing, waiting,
         asking, plugging)  # fmt: skip


def main() -> None:
    """Run the part that is named, or all."""
    if len(sys.argv) > 1:
        globals()[sys.argv[1]]()
        return
    for part in PARTS:
        print(f"== {part.__name__}", flush=True)
        part()


if __name__ == "__main__":
    main()
