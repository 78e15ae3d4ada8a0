# SPDX-License-Identifier: Apache-2.0
"""What `--decode` shows beside the octets of a response: FCP templates, data objects of SGP.22."""

from collections.abc import Iterator
from typing import Any

import click

from wsrc.card.apdu import Response

decode_option = click.option(
    "--decode",
    is_flag=True,
    help="Name what is in FCP and FCI templates, records of EF.DIR, and answers of an ISD-R.",
)


def decoded_lines(response: Response, indent: str = "    ") -> Iterator[str]:
    """Yield the lines that show the data of a response; none where they are not known."""
    from wsrc.card.contents.decoding import decoded  # noqa: PLC0415 - most responses need none

    for node in decoded(response.data) or ():
        yield from node.lines(indent)


def decoded_document(response: Response) -> dict[str, Any]:
    """Return the data of a response as JSON values, `decoded`; null where they are not known."""
    from wsrc.card.contents.decoding import decoded  # noqa: PLC0415 - most responses need none

    objects = decoded(response.data)
    return {"decoded": None if objects is None else [each.document() for each in objects]}
