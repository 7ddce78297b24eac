"""Backtests and training data of Finaira as Arrow tables.

    import finaira_data

    decisions = finaira_data.export("/var/lib/finaira", labels_until="2026-06-01T00:00:00Z")
    ran = finaira_data.backtest("policies/retail", "purchases.csv")
    ran.decisions.to_pandas()

The work is done by the program `finaira`, which is found as the argument `finaira` says, then by the variable FINAIRA, then in
PATH. The package has no other code that decides anything, so its numbers are those of the engine.
"""

from ._models import features_of, inputs_for, register_model
from ._program import FinairaError, find_finaira, run
from ._tables import Backtest, backtest, check_policy, export

__version__ = "0.1.0"

__all__ = [
    "Backtest",
    "FinairaError",
    "backtest",
    "check_policy",
    "export",
    "features_of",
    "find_finaira",
    "inputs_for",
    "register_model",
    "run",
]
