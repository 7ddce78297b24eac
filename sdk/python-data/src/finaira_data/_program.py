"""Finds and runs the program `finaira`."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

#: A path, as text or as an object.
StrPath = str | os.PathLike[str]


class FinairaError(RuntimeError):
    """The program failed. The message is what it printed."""

    def __init__(self, message: str, exit_code: int | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        """The exit code of the program; None if it could not be started."""


def find_finaira(finaira: StrPath | None = None) -> Path:
    """Returns the path of the program.

    It is the argument, or else the environment variable FINAIRA, or else the program `finaira` in PATH.

    Raises:
        FinairaError: If there is no such program.
    """
    wanted = os.fspath(finaira) if finaira is not None else os.environ.get("FINAIRA") or "finaira"
    found = shutil.which(wanted)
    if found is None:
        raise FinairaError(
            f"the program `{wanted}` was not found: add its folder to PATH, name it in the variable FINAIRA, "
            "or pass its path as the argument `finaira`"
        )
    return Path(found)


def run(arguments: Sequence[StrPath], finaira: StrPath | None = None) -> str:
    """Runs the program with these arguments and returns what it printed to standard output.

    Raises:
        FinairaError: If the program is not found or exits with an error.
    """
    program = find_finaira(finaira)
    ended = subprocess.run(
        [program, *arguments], stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    if ended.returncode != 0:
        message = ended.stderr.strip() or ended.stdout.strip() or "it printed nothing"
        raise FinairaError(message, ended.returncode)
    return ended.stdout
