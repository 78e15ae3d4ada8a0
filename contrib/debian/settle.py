# SPDX-License-Identifier: Apache-2.0
"""
Have a virtual environment work at the place where it is installed.

    python3 settle.py ENVIRONMENT INSTALLED PREFIX

Programs of ENVIRONMENT begin with the interpreter at INSTALLED; of those only the ones whose names
begin with PREFIX stay, and the interpreter. Modules do not begin with one: nobody runs them.
"""

import shutil
import sys
from pathlib import Path

PYTHON = Path("/usr/bin/python3")


def main() -> None:
    """Settle the environment that is named."""
    environment, installed, prefix = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    for path in sorted((environment / "bin").iterdir()):
        path_is_ours = path.name.startswith(prefix)
        if path_is_ours:
            _, _, rest = path.read_text("utf-8").partition("\n")
            path.write_text(f"#!{installed}/bin/python3\n{rest}", "utf-8")
        else:
            path.unlink()
    (environment / "bin" / "python3").symlink_to(PYTHON)
    lines = (environment / "pyvenv.cfg").read_text("utf-8").splitlines()
    kept = [line for line in lines if not line.startswith(("command", "executable"))]
    (environment / "pyvenv.cfg").write_text("\n".join(kept) + "\n", "utf-8")
    for folder in ("include", "share"):
        shutil.rmtree(environment / folder, ignore_errors=True)
    for path in sorted(environment.glob("lib/*/site-packages/**/*.py")):
        first, end, rest = path.read_bytes().partition(b"\n")
        if first.startswith(b"#!"):  # a module is imported, and not run
            path.write_bytes(end + rest)
    for path in sorted(environment.rglob("*.dist-info")):
        for name in ("direct_url.json", "RECORD", "INSTALLER", "REQUESTED"):
            (path / name).unlink(missing_ok=True)
    for path in sorted(environment.rglob("__pycache__"), reverse=True):
        shutil.rmtree(path)


if __name__ == "__main__":
    main()
