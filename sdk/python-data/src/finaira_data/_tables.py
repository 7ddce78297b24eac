"""Backtests and exports as Arrow tables."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from ._program import StrPath, run

if TYPE_CHECKING:
    import pandas as pd

#: A moment: a time with its time zone, or RFC 3339 as text.
Moment = datetime | str


@dataclass(frozen=True)
class Backtest:
    """The result of a backtest."""

    decisions: pa.Table
    """One row per payment of the input, in its order: decision, status, score, models, features, reasons, label, error."""
    summary: str
    """What the program printed: decisions, reasons, recall and precision, alerts."""


def backtest(
    policy: StrPath,
    payments: StrPath | pa.Table | pd.DataFrame,
    *,
    lists: StrPath | None = None,
    output: StrPath | None = None,
    finaira: StrPath | None = None,
) -> Backtest:
    """Decides past payments with a policy.

    Args:
        policy: The folder with `policy.toml`. Its section `[file]` names the columns.
        payments: A Parquet file or a CSV file with a header, an Arrow table, or a data frame of pandas.
        lists: A folder with the values of the policy's lists, one text file per list.
        output: Where to keep the decisions as a Parquet file. By default they are only returned.
        finaira: The program, see `find_finaira`.

    Raises:
        FinairaError: If the program refuses the policy or the payments.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="finaira-data-")))
        source = payments if isinstance(payments, (str, os.PathLike)) else _write(payments, folder / "payments.parquet")
        target = Path(output) if output is not None else folder / "decisions.parquet"
        arguments: list[StrPath] = ["backtest", "--policy", policy, "--input", source, "--output", target]
        if lists is not None:
            arguments += ["--lists", lists]
        summary = run(arguments, finaira)
        # The file is read into memory, because its folder is removed.
        return Backtest(pq.read_table(target, memory_map=False), summary)


def export(
    data: StrPath,
    *,
    tenant: int | None = None,
    labels_until: Moment | None = None,
    decided_from: Moment | None = None,
    decided_until: Moment | None = None,
    types: Iterable[str] = (),
    attributes: bool = False,
    output: StrPath | None = None,
    finaira: StrPath | None = None,
) -> pa.Table:
    """Reads the decisions of a live system, with the features as they were at each decision and the labels.

    Args:
        data: The data directory of a server, which may be running, or a copy that `finaira backup` made.
        tenant: The number of the tenant; by default the first one.
        labels_until: Labels that were recorded later are left out, as if they were not known yet.
        decided_from: Only decisions made at or after this time.
        decided_until: Only decisions made before this time.
        types: Only payments of these types; by default all.
        attributes: Whether to add the attributes that are not personal, with entities as tokens.
        output: Where to keep the table as a Parquet file. By default it is only returned.
        finaira: The program, see `find_finaira`.

    Raises:
        FinairaError: If the program cannot read the journal.
        ValueError: If a time has no time zone.
    """
    moments = {"--labels-until": labels_until, "--from": decided_from, "--until": decided_until}
    with ExitStack() as stack:
        if output is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="finaira-data-"))
            output = Path(folder) / "decisions.parquet"
        arguments: list[StrPath] = ["export", "--data", data, "--output", output]
        for option, moment in moments.items():
            if moment is not None:
                arguments += [option, _rfc3339(moment)]
        if tenant is not None:
            arguments += ["--tenant", str(tenant)]
        for name in types:
            arguments += ["--type", name]
        if attributes:
            arguments.append("--attributes")
        run(arguments, finaira)
        return pq.read_table(output, memory_map=False)


def check_policy(policy: StrPath, finaira: StrPath | None = None) -> str:
    """Checks a policy folder as an upload to a server would, and returns what the program says about it.

    Raises:
        FinairaError: With the problems and their places, if the policy is not valid.
    """
    return run(["check-policy", policy], finaira)


def _write(payments: pa.Table | pd.DataFrame, target: Path) -> Path:
    table = payments if isinstance(payments, pa.Table) else pa.Table.from_pandas(payments, preserve_index=False)
    pq.write_table(table, target)
    return target


def _rfc3339(moment: Moment) -> str:
    if isinstance(moment, str):
        return moment
    if moment.tzinfo is None:
        raise ValueError(f"the time {moment.isoformat()} has no time zone, for example tzinfo=datetime.timezone.utc")
    return moment.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")
