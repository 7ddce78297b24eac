"""Tests of the package with the real program, which FINAIRA names or PATH has."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import tempfile
import time
import tomllib
import unittest
import urllib.request
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import finaira_data

POLICY = """\
name = "shop"
[ledgers.eur]
id = 978
asset = "EUR/2"
[entities.customer]
[accounts.customer]
ledger = "eur"
code = 10
per = "customer"
[accounts.shop]
ledger = "eur"
code = 20
[payments.card]
ledger = "eur"
occurred_at = { late_max = "30d", ahead_max = "0s" }
[payments.card.attributes]
customer = { type = "entity", entity = "customer" }
country = { type = "string", chars_max = 2, required = false }
[[payments.card.legs]]
debit = { account = "customer", of = "customer" }
credit = { account = "shop" }
code = 1
[streams.by_customer]
of = "customer"
clock = "occurred_at"
[features.spend]
stream = "by_customer"
aggregate = "sum"
window = "2d"
[features.usual]
stream = "by_customer"
aggregate = "mean"
window = "9d"
delay = "1d"
[features.abroad]
expression = "payment.country != 'NO'"
[features.country]
expression = "payment.country"
[labels]
positive = ["fraud"]
# How a file of payments is read.
[file]
payment = "card"
id = "id"
time = "time"
amount = { column = "amount", unit = "minor" }
label = { column = "fraud", positive = ["1"], delay = "1d" }
[file.attributes]
customer = "customer"
country = "country"
"""

START = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(days=3)
PAYMENTS = [
    {
        "id": number,
        "time": (START + timedelta(hours=number)).isoformat().replace("+00:00", "Z"),
        "amount": 100 * number,
        "customer": f"customer {number % 2}",
        "country": ["NO", "SE", None][number % 3],
        "fraud": str(int(number % 4 == 0)),
    }
    for number in range(1, 13)
]


class Server:
    """A server on a data directory, with a client that has its API key."""

    def __init__(self, data: Path) -> None:
        arguments = [finaira_data.find_finaira(), "serve", "--data", data, "--listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout is not None
        self.key = self.address = ""
        while not self.address:
            line = self.process.stdout.readline()
            if not line:
                raise AssertionError("the server ended before it listened")
            if " (shown once, keep it): " in line:
                self.key = line.split(": ", 1)[1].strip()
            if line.startswith("Listening on "):
                self.address = line.removeprefix("Listening on ").strip()

    def post(self, path: str, body: bytes, media_type: str = "application/json") -> Any:
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": media_type}
        request = urllib.request.Request(self.address + path, data=body, headers=headers, method="POST")
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)

    def activate(self, policy: str) -> None:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            entry = tarfile.TarInfo("policy.toml")
            entry.size = len(policy.encode())
            archive.addfile(entry, io.BytesIO(policy.encode()))
        self.post("/v1/policies", packed.getvalue(), "application/x-tar")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=30)
        if self.process.stdout is not None:
            self.process.stdout.close()


class Case(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.policy = self.folder / "policy"
        self.policy.mkdir()
        (self.policy / "policy.toml").write_text(POLICY)


class BacktestTest(Case):
    def test_every_form_of_input_gives_the_same_decisions(self) -> None:
        table = pa.Table.from_pylist(PAYMENTS)
        file = self.folder / "payments.parquet"
        pq.write_table(table, file)
        of_table = finaira_data.backtest(self.policy, table)
        of_file = finaira_data.backtest(str(self.policy), str(file), output=self.folder / "kept.parquet")
        of_frame = finaira_data.backtest(self.policy, table.to_pandas())
        self.assertEqual(of_table.decisions, of_file.decisions)
        self.assertEqual(of_table.decisions, of_frame.decisions)
        self.assertEqual(pq.read_table(self.folder / "kept.parquet"), of_file.decisions)
        self.assertEqual(of_table.decisions["id"].to_pylist(), [payment["id"] for payment in PAYMENTS])
        self.assertEqual(of_table.decisions["spend"].to_pylist()[:4], [100, 200, 400, 600])
        self.assertIn("12 rows: 12 decided", of_table.summary)

    def test_errors_say_what_the_program_said(self) -> None:
        with self.assertRaises(finaira_data.FinairaError) as failed:
            finaira_data.backtest(self.policy, self.folder / "missing.csv")
        self.assertIn("missing.csv", str(failed.exception))
        self.assertEqual(failed.exception.exit_code, 1)
        with self.assertRaisesRegex(finaira_data.FinairaError, "`nowhere/finaira` was not found"):
            finaira_data.check_policy(self.policy, finaira="nowhere/finaira")
        with self.assertRaisesRegex(ValueError, "no time zone"):
            finaira_data.export(self.folder, labels_until=datetime(2026, 1, 1))


class ExportTest(Case):
    def test_a_running_server_exports_what_a_backtest_computes(self) -> None:
        data = self.folder / "data"
        server = Server(data)
        self.addCleanup(server.stop)
        server.activate(POLICY)
        for payment in PAYMENTS:
            attributes = {name: payment[name] for name in ("customer", "country") if payment[name] is not None}
            body = {
                "id": str(payment["id"]),
                "type": "card",
                "amount": str(payment["amount"]),
                "asset": "EUR/2",
                "occurred_at": payment["time"],
                "attributes": attributes,
            }
            server.post("/v1/payments", json.dumps(body).encode())
        for payment in (3, 4):
            label = {"payment": str(payment), "label": "fraud"}
            server.post("/v1/labels", json.dumps(label).encode())

        # The mark of the journal follows within 10 ms; a busy machine may take longer.
        for _ in range(500):
            found = finaira_data.export(data, attributes=True)
            if len(found) == len(PAYMENTS) and found["label"].null_count == len(PAYMENTS) - 2:
                break
            time.sleep(0.02)
        expected = finaira_data.backtest(self.policy, pa.Table.from_pylist(PAYMENTS)).decisions
        for column in ("spend", "usual", "abroad", "country", "decision", "occurred_at"):
            self.assertEqual(found[column].to_pylist(), expected[column].to_pylist(), column)
        self.assertEqual([row["payment"] for row in found.to_pylist() if row["label"] == "fraud"], [id_of(3), id_of(4)])
        self.assertEqual(len(set(found["attribute_customer"].to_pylist())), 2)

        first, second = sorted(at for at in found["label_known_at"].to_pylist() if at is not None)
        self.assertLess(first, second)
        earlier = finaira_data.export(data, labels_until=first.isoformat(), output=self.folder / "kept.parquet")
        self.assertEqual(earlier["label"].drop_null().to_pylist(), ["fraud"])
        self.assertEqual(pq.read_table(self.folder / "kept.parquet"), earlier)
        for nothing in (
            finaira_data.export(data, labels_until=START),
            finaira_data.export(data, decided_until=START),
            finaira_data.export(data, types=["transfer"]),
        ):
            self.assertEqual(nothing["label"].drop_null().to_pylist(), [])
        self.assertEqual(len(finaira_data.export(data, decided_from=START, types=["card"], tenant=1)), len(PAYMENTS))
        with self.assertRaisesRegex(finaira_data.FinairaError, "has no tenant 7"):
            finaira_data.export(data, tenant=7)


class ModelsTest(Case):
    def test_features_that_are_numbers_become_inputs(self) -> None:
        decisions = finaira_data.backtest(self.policy, pa.Table.from_pylist(PAYMENTS)).decisions
        features = finaira_data.features_of(self.policy, decisions)
        self.assertEqual(features, ["spend", "usual", "abroad"])
        expected = [
            "has(features.spend) ? double(features.spend) : 0.0 / 0.0",
            "has(features.usual) ? features.usual : 0.0 / 0.0",
            "has(features.abroad) ? (features.abroad ? 1.0 : 0.0) : 0.0 / 0.0",
        ]
        self.assertEqual(finaira_data.inputs_for(features, decisions), expected)

    def test_a_feature_in_a_column_of_another_name_is_refused(self) -> None:
        for columns in ({"spend": [1], "feature_spend": [2]}, {"spend_int": [1], "spend_double": [0.5]}):
            with self.assertRaisesRegex(ValueError, "the feature `spend` is in the columns .*, expected a column `spend`"):
                finaira_data.features_of(self.policy, pa.table(columns))

    def test_a_model_is_put_into_a_copy_which_the_program_checks(self) -> None:
        with self.assertRaisesRegex(finaira_data.FinairaError, "models.fraud.file"):
            finaira_data.register_model(self.policy, self.folder / "broken", "fraud", b"no model", ["features.spend"])
        written = (self.folder / "broken/policy.toml").read_text()
        self.assertTrue(written.startswith(POLICY))
        added = {"file": "models/fraud.onnx", "inputs": ["features.spend"]}
        self.assertEqual(tomllib.loads(written)["models"], {"fraud": added})

        # The section of an earlier model is replaced, and what is around it stays.
        (self.policy / "policy.toml").write_text(POLICY.replace(
            "# How a file", '[models.fraud]\nfile = "models/old.onnx"\ninputs = [\n    "features.spend",\n]\n\n# How a file'
        ))
        with self.assertRaises(finaira_data.FinairaError):
            finaira_data.register_model(
                self.policy, self.folder / "again", "fraud", b"no model", ['payment.country == "NO"'], payments=["card"]
            )
        written = (self.folder / "again/policy.toml").read_text()
        section = '[models.fraud]\nfile = "models/fraud.onnx"\ninputs = ["payment.country == \\"NO\\""]\npayments = ["card"]\n'
        self.assertEqual(written, POLICY.replace("# How a file", f"{section}\n# How a file"))
        with self.assertRaises(FileExistsError):
            finaira_data.register_model(self.policy, self.folder / "again", "fraud", b"", [])
        with self.assertRaisesRegex(ValueError, "not a name"):
            finaira_data.register_model(self.policy, self.folder / "other", "../fraud", b"", [])


def id_of(number: int) -> str:
    """The id of a payment, as the program shows it."""
    return f"00000000-0000-0000-0000-{number:012x}"


if __name__ == "__main__":
    unittest.main()
