# SPDX-License-Identifier: Apache-2.0
"""
Write what a package installs beside the code: man pages, completion, sample settings.

    python contrib/tools/installed_files.py FOLDER

All of it is made from the code that it is about.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from click.shell_completion import get_completion_class
from man_pages import PROGRAMS, page

from wsrc.command_line.completion import SCRIPTS
from wsrc.command_line.sample import SAMPLES

COMPLETIONS = {
    "bash": "completions/bash/{}",
    "zsh": "completions/zsh/_{}",
    "fish": "completions/fish/{}.fish",
}
"""Where the completion of a program for each shell goes."""


def files() -> Iterator[tuple[str, str]]:
    """Yield every file: its name, and its text."""
    for name, (command, _, _) in PROGRAMS.items():
        yield f"man/{name}.1", page(name)
        variable = f"_{name.replace('-', '_').upper()}_COMPLETE"
        for shell, place in COMPLETIONS.items():
            kind = get_completion_class(shell)
            assert kind is not None
            ours = SCRIPTS[shell] if name == "wsrc" else None
            yield place.format(name), ours or kind(command, {}, name, variable).source()
    for name, sample in SAMPLES.items():
        yield f"samples/{name}", sample.text()


def main() -> None:
    """Write all of them into the folder that is named."""
    folder = Path(sys.argv[1])
    for name, text in files():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
