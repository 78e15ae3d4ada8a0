# SPDX-License-Identifier: Apache-2.0
"""The driver in C: compiled where it is not yet, run as processes that take orders."""

import contextlib
import hashlib
import json
import os
import select
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

SOURCE = Path(__file__).with_name("driver.c")
LIMIT_S = 60.0

Answer = dict[str, Any]


class MissingError(Exception):
    """Something that the bench needs is not on this host; the text says how to get it."""


def compiled() -> Path:
    """Return the program, compiled into the environment once for each state of its source."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if shutil.which(compiler[0]) is None:
        raise MissingError("there is no C compiler (apt install gcc libc6-dev libssl-dev)")
    key = hashlib.sha256(SOURCE.read_bytes() + repr(compiler).encode()).hexdigest()[:16]
    program = Path(sys.prefix) / "bench" / f"driver-{key}"
    if program.exists():
        return program
    program.parent.mkdir(exist_ok=True)
    unfinished = program.with_suffix(f".{os.getpid()}")
    command = [*compiler, "-O2", "-std=gnu11", str(SOURCE), "-o", str(unfinished)]
    done = subprocess.run(
        [*command, "-lssl", "-lcrypto"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        hint = "apt install libssl-dev" if "openssl/" in done.stderr else "see above"
        raise MissingError(f"the driver does not compile ({hint}):\n{done.stderr}")
    unfinished.replace(program)
    return program


class Orders:
    """A process that takes orders from standard input and answers each with a line of JSON."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            command,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def order(self, line: str) -> None:
        """Give an order."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # `answer` says why
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()

    def answer(self) -> Answer:
        """Return the answer to the oldest order that was not answered."""
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], LIMIT_S)[0]:
            raise RuntimeError(f"{self.process.args} says nothing for {LIMIT_S:g} s")
        line = self.process.stdout.readline()
        if not line:
            assert self.process.stderr is not None
            raise RuntimeError(self.process.stderr.read().strip() or "it ended")
        answer: Answer = json.loads(line)
        return answer

    def ask(self, line: str) -> Answer:
        """Give an order and return the answer."""
        self.order(line)
        return self.answer()

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(BrokenPipeError):
            assert self.process.stdin is not None
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


class Driver(Orders):
    """
    A process that plays many clients of one kind.

    Args:
        role: `cards` or `users`.
        dialect: `wsrc`, `first` or `raw`; see the source.
        port: Where the server listens on loopback.
        count: How many clients.
        options: What else the source names.
    """

    def __init__(self, role: str, dialect: str, port: int, count: int, **options: object) -> None:
        given = [f"{name}={value}" for name, value in options.items()]
        arguments = [role, dialect, "127.0.0.1", str(port), str(count), *given]
        super().__init__([str(compiled()), *arguments])
