# SPDX-License-Identifier: Apache-2.0
"""What peers, cards and readers say, fit for a terminal, a log and a line; only here."""

import unicodedata


def clean(text: str) -> str:
    r"""
    Return a text as one line that a terminal shows and does not obey.

    Controls, ends of lines, and what turns the direction of writing around (Unicode categories Cc,
    Cf, Cs, Co, Cn, Zl, Zp) are written as Python writes them, such as `\x1b` or `\u2028`.
    """
    if text.isprintable():
        return text
    return "".join(c if _is_harmless(c) else ascii(c)[1:-1] for c in text)


def clean_json(text: str) -> str:
    """Return JSON that means the same and is as `clean` says, for a terminal and a line."""
    if text.isprintable():
        return text
    return "".join(c if _is_harmless(c) else _escaped(c) for c in text)


def _is_harmless(c: str) -> bool:
    return c.isprintable() or unicodedata.category(c) == "Zs"


def _escaped(c: str) -> str:
    """Write one character as JSON does (RFC 8259 section 7): in UTF-16."""
    octets = c.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{octets[at : at + 4]}" for at in range(0, len(octets), 4))
