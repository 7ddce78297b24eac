"""Puts a trained model into a copy of a policy."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ._program import StrPath
from ._tables import check_policy

POLICY = "policy.toml"


def features_of(policy: StrPath, decisions: pa.Table, payment_type: str | None = None) -> list[str]:
    """Returns the policy's features that a model can take as numbers: those that are a column of numbers or booleans.

    Args:
        policy: The folder with `policy.toml`.
        decisions: The decisions of a backtest or an export with this policy.
        payment_type: Leaves out features that have a value for none of the payments of this type.

    Raises:
        ValueError: If a feature has a column of another name, because a column of its name has something else in it, or because its type
            changed with the policy. Rename the feature, or export the decisions of one version of the policy.
    """
    rows = decisions
    if payment_type is not None and "type" in decisions.column_names:
        rows = decisions.filter(pc.equal(decisions["type"], payment_type))
    names = []
    for name in _document(policy).get("features", {}):
        of_types = [f"{name}_{kind}" for kind in ("int", "double", "bool", "text")]
        others = [other for other in (f"feature_{name}", *of_types) if other in rows.column_names]
        if f"feature_{name}" in others or (others and name not in rows.column_names):
            raise ValueError(f"the feature `{name}` is in the columns {', '.join(others)}, expected a column `{name}`")
        column = rows[name] if name in rows.column_names else None
        is_number = column is not None and (pa.types.is_primitive(column.type) and not pa.types.is_temporal(column.type))
        if column is not None and is_number and column.null_count < len(column):
            names.append(name)
    return names


def inputs_for(features: Iterable[str], decisions: pa.Table) -> list[str]:
    """Returns an expression for each feature, which gives a model the column as it is in `decisions`.

    Numbers and booleans become doubles, and a missing value becomes not-a-number, which is how models know missing values.
    """
    expressions = []
    for name in features:
        value = f"features.{name}"
        if pa.types.is_boolean(decisions[name].type):
            value = f"({value} ? 1.0 : 0.0)"
        elif pa.types.is_integer(decisions[name].type):
            value = f"double({value})"
        expressions.append(f"has(features.{name}) ? {value} : 0.0 / 0.0")
    return expressions


def register_model(
    policy: StrPath,
    folder: StrPath,
    name: str,
    onnx: bytes,
    inputs: Sequence[str],
    *,
    payments: Sequence[str] = (),
    finaira: StrPath | None = None,
) -> Path:
    """Copies a policy and puts a model into the copy, in the place of the one with this name if there is one.

    Args:
        policy: The folder of the policy, which stays as it is.
        folder: The folder for the copy, which must not exist.
        name: The name of the model in the policy.
        onnx: The model as the bytes of an ONNX file.
        inputs: The expressions for the model's columns, in their order.
        payments: The payment types that the model scores; by default all.
        finaira: The program that checks the copy, see `find_finaira`.

    Returns:
        The folder of the copy. `POST /v1/policies` takes it to a server, packed with tar.

    Raises:
        FinairaError: If the policy is not valid with the model. The copy then stays, to be looked at.
        FileExistsError: If the folder for the copy exists.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError(f"`{name}` is not a name of a policy: expected a lower-case letter, then letters, digits or `_`")
    folder = Path(folder)
    shutil.copytree(policy, folder)
    file = f"models/{name}.onnx"
    (folder / "models").mkdir(exist_ok=True)
    (folder / file).write_bytes(onnx)

    table: dict[str, Any] = {"file": file, "inputs": list(inputs)}
    if payments:
        table["payments"] = list(payments)
    document = folder / POLICY
    before = document.read_text(encoding="utf-8")
    after = _replace_section(before, f"models.{name}", table)
    expected = tomllib.loads(before)
    expected.setdefault("models", {})[name] = table
    if tomllib.loads(after) != expected:
        raise ValueError(f"cannot put the model into {document}: write `[models.{name}]` as a section of its own")
    document.write_text(after, encoding="utf-8")
    check_policy(folder, finaira)
    return folder


def _document(policy: StrPath) -> dict[str, Any]:
    return tomllib.loads((Path(policy) / POLICY).read_text(encoding="utf-8"))


def _replace_section(text: str, name: str, table: dict[str, Any]) -> str:
    """Replaces the section with this name, or appends it. Everything else stays as it is, comments included."""
    # A text or a list of texts has the same form in TOML as in JSON.
    body = [f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in table.items()]
    lines = text.splitlines(keepends=True)
    start = next((n for n, line in enumerate(lines) if re.match(rf"\[{re.escape(name)}\]", line)), None)
    if start is None:
        end_of_line = "" if text.endswith("\n") or not text else "\n"
        return "".join([text, end_of_line, f"\n[{name}]\n", *body])
    end = next((n for n in range(start + 1, len(lines)) if re.match(r"\[\[?[A-Za-z]", lines[n])), len(lines))
    # What stands right before the next section is about that one.
    while end > start + 1 and re.match(r"\s*(#|$)", lines[end - 1]):
        end -= 1
    return "".join([*lines[: start + 1], *body, *lines[end:]])
