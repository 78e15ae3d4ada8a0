# SPDX-License-Identifier: GPL-2.0-or-later
"""
A reader for pySim whose card is behind a WSRC server.

`install` makes pySim's programs know it; `link` is the reader; `python -m wsrc_pysim` runs a
program of pySim with it.
"""

import argparse
import functools
import os
from typing import Any

_INSTALLED = "_wsrc_installed"


def install() -> None:
    """
    Let `pySim.transport` offer the options of WSRC and open its reader where they are given.

    It must come before a program imports the functions of `pySim.transport` by their names; to
    call it again changes nothing.
    """
    from pySim import transport  # noqa: PLC0415 - pySim is there only where it is used

    if getattr(transport, _INSTALLED, False):
        return
    from wsrc_pysim.link import WsrcLink  # noqa: PLC0415 - needs pySim

    add_args, init_reader = transport.argparse_add_reader_args, transport.init_reader

    @functools.wraps(add_args)
    def add_reader_args(arg_parser: argparse.ArgumentParser) -> Any:
        parser = add_args(arg_parser)
        WsrcLink.argparse_add_reader_args(arg_parser)
        return parser

    @functools.wraps(init_reader)
    def init(opts: argparse.Namespace, **kwargs: Any) -> Any:
        if not WsrcLink.is_wanted(opts):
            return init_reader(opts, **kwargs)
        tracer = getattr(transport, "StdoutApduTracer", None)
        if getattr(opts, "apdu_trace", False) and tracer is not None:
            kwargs.setdefault("apdu_tracer", tracer())
        link = WsrcLink(opts, **kwargs)
        _tell_as_pysim(getattr(transport, "log", None), link)
        return link

    transport.argparse_add_reader_args = add_reader_args
    transport.init_reader = init
    setattr(transport, _INSTALLED, True)


def _tell_as_pysim(log: Any, link: Any) -> None:
    """Name the reader where and as this version of pySim does; `log` is that of its transport."""
    tested = os.environ.get("PYSIM_INTEGRATION_TEST") == "1"
    text = f"Using {link.name} reader interface" if tested else f"Using reader {link}"
    if log is None:
        print(text)
    else:
        log.info("%s", text)
