r"""Trains models/fraud.onnx on the transactions of the Fraud Detection Handbook and measures it as the handbook does.

    python train.py TRANSACTIONS OUTPUT [--features-sample FEATURES]

TRANSACTIONS is the data set as .parquet or .csv, OUTPUT the model's file, and FEATURES the handbook's own features to
compare ours with. The same packages give the same bytes (Python 3.11):

    pip install numpy==2.4.6 pandas==3.1.1 pyarrow==26.0.1 scikit-learn==1.9.1 \
        onnx==1.23.2 skl2onnx==1.20.0 onnxruntime==1.32.0
"""

import argparse
import time
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import average_precision_score, roc_auc_score

DAY = 86_400
WINDOWS = (1, 7, 30)
# A transaction's label is known this many days after it.
LABEL_DELAY = 7
# The columns of the model, in the order of `inputs` in policy.toml.
COLUMNS = (
    ["TX_AMOUNT", "TX_DURING_WEEKEND", "TX_DURING_NIGHT"]
    + [f"CUSTOMER_ID_{what}_{days}DAY_WINDOW" for days in WINDOWS for what in ("NB_TX", "AVG_AMOUNT")]
    + [f"TERMINAL_ID_{what}_{days}DAY_WINDOW" for days in WINDOWS for what in ("NB_TX", "RISK")]
)
TRAINING_START = pd.Timestamp("2018-07-25")
TREES = 100

# AUC ROC, average precision and card precision@100 of the handbook's chapter 3, same training and test weeks.
PUBLISHED = {
    "logistic regression": (0.871, 0.606, 0.291),
    "decision tree, depth 2": (0.763, 0.496, 0.241),
    "random forest": (0.867, 0.658, 0.287),
    "XGBoost": (0.862, 0.639, 0.273),
}


def progress(message, started=time.monotonic()):
    print(f"[{time.monotonic() - started:5.1f} s] {message}", flush=True)


def read(path):
    """Returns the transactions in time order; those of one second stay in the order of the file."""
    if path.suffix == ".parquet":
        transactions = pd.read_parquet(path)
    else:
        transactions = pd.read_csv(path, parse_dates=["TX_DATETIME"])
    return transactions.sort_values("TX_DATETIME", kind="stable", ignore_index=True)


def window_sums(keys, seconds, values, days, delay):
    """Returns how many transactions of the same key lie in (t - delay - days, t - delay], and the sum of their values.

    Without a delay a transaction of the same second counts if it comes no later in the file.
    """
    count = len(keys)
    order = np.lexsort((np.arange(count), seconds, keys))
    # All keys share one line. Each key has its own stretch, longer than the data and the longest window together.
    key_starts = keys[order].astype(np.int64) * (int(seconds.max()) + 100 * DAY)
    line = key_starts + seconds[order]
    before = np.concatenate([[0], np.cumsum(values[order])])
    end = np.searchsorted(line, line - delay * DAY, side="right") if delay else np.arange(1, count + 1)
    start = np.searchsorted(line, line - (delay + days) * DAY, side="right")
    # A window that reaches back before the first transaction would end in the stretch of the previous key.
    first = np.searchsorted(key_starts, key_starts, side="left")
    start, end = np.maximum(start, first), np.maximum(end, first)
    counts, sums = np.empty(count, np.int64), np.empty(count, np.int64)
    counts[order], sums[order] = end - start, before[end] - before[start]
    return counts, sums


def features(transactions):
    """Returns the model's columns. Money is summed in cents, as in the policy, so that the means have the same bits."""
    times = transactions["TX_DATETIME"].dt
    since_start = transactions["TX_DATETIME"] - transactions["TX_DATETIME"].min().normalize()
    seconds = since_start.dt.total_seconds().to_numpy(np.int64)
    cents = np.rint(transactions["TX_AMOUNT"].to_numpy() * 100).astype(np.int64)
    columns = {
        "TX_AMOUNT": cents / 100.0,
        "TX_DURING_WEEKEND": (times.day_of_week >= 5).astype(np.int64),
        "TX_DURING_NIGHT": (times.hour <= 6).astype(np.int64),
    }
    for days in WINDOWS:
        counts, sums = window_sums(transactions["CUSTOMER_ID"].to_numpy(), seconds, cents, days, 0)
        columns[f"CUSTOMER_ID_NB_TX_{days}DAY_WINDOW"] = counts
        columns[f"CUSTOMER_ID_AVG_AMOUNT_{days}DAY_WINDOW"] = sums / counts / 100.0
        frauds = transactions["TX_FRAUD"].to_numpy()
        counts, sums = window_sums(transactions["TERMINAL_ID"].to_numpy(), seconds, frauds, days, LABEL_DELAY)
        columns[f"TERMINAL_ID_NB_TX_{days}DAY_WINDOW"] = counts
        columns[f"TERMINAL_ID_RISK_{days}DAY_WINDOW"] = sums / np.maximum(counts, 1)
        progress(f"features over {days} day{'s' if days > 1 else ''}")
    return pd.DataFrame(columns)[COLUMNS]


def compare_with_sample(transactions, computed, path):
    """Rows may differ only in pairs of one customer in one second, which the handbook's files have in either order."""
    sample = pd.read_parquet(path).set_index("TRANSACTION_ID")
    ours = computed.set_index(transactions["TRANSACTION_ID"]).loc[sample.index, sample.columns]
    differing = sample.index[~np.isclose(ours, sample, rtol=1e-9, atol=1e-9).all(axis=1)]
    pair = transactions.set_index("TRANSACTION_ID").duplicated(["CUSTOMER_ID", "TX_DATETIME"], keep=False)
    progress(f"{len(sample):,} rows compared with the sample, {len(differing)} differ, all in same-second pairs")
    assert pair.loc[differing].all(), f"rows {differing[~pair.loc[differing]].tolist()} differ"


def weeks(transactions, start):
    """Returns the positions of the training week that starts at `start`, and of the test week 14 days later.

    The test leaves out customers whose fraud is known: from the training week, or from the days after it until eight days
    before the test day.
    """
    day = (transactions["TX_DATETIME"].dt.normalize() - start).dt.days.to_numpy()
    customer, fraud = transactions["CUSTOMER_ID"].to_numpy(), transactions["TX_FRAUD"].to_numpy() == 1
    training = np.flatnonzero((day >= 0) & (day < 7))
    known, test = set(customer[training][fraud[training]]), []
    for test_day in range(14, 21):
        known |= set(customer[(day == test_day - LABEL_DELAY - 1) & fraud])
        rows = np.flatnonzero(day == test_day)
        test.append(rows[~np.isin(customer[rows], list(known))])
    return training, np.concatenate(test)


def card_precision(transactions, scores, top=100):
    """Returns the mean over the days of the share of true frauds among the customers with the highest scores.

    A customer whose fraud was detected is left out of the later days.
    """
    table = transactions[["CUSTOMER_ID", "TX_FRAUD"]].assign(SCORE=scores, DAY=transactions["TX_DATETIME"].dt.date)
    detected, precisions = set(), []
    for _, day in table.groupby("DAY"):
        day = day[~day["CUSTOMER_ID"].isin(detected)].groupby("CUSTOMER_ID")[["SCORE", "TX_FRAUD"]].max()
        best = day.sort_values("SCORE", ascending=False, kind="stable").head(top)
        hits = best.index[best["TX_FRAUD"] == 1]
        precisions.append(len(hits) / top)
        detected |= set(hits)
    return float(np.mean(precisions))


def train(rows, labels):
    """Trains a forest of a hundred trees with 96 leaves each.

    Leaves, share of columns and smallest leaf were chosen by the mean of the three metrics over four earlier weeks
    (training from 06-20, 06-27, 07-04 and 07-11, tested 14 days later), all before the test week.
    """
    forest = RandomForestClassifier(
        max_leaf_nodes=96, min_samples_leaf=3, max_features=0.7, random_state=0, n_jobs=-1, warm_start=True
    )
    for trees in range(10, TREES + 1, 10):
        forest.set_params(n_estimators=trees, oob_score=trees == TREES)
        forest.fit(rows, labels)
        progress(f"{trees} of {TREES} trees")
    return forest


def export(forest, path):
    """Writes the forest as ONNX, without attributes that differ between runs or only state the default."""
    model = to_onnx(
        forest, initial_types=[("columns", FloatTensorType([None, len(COLUMNS)]))], options={"zipmap": False}
    )
    model.graph.name = "fraud"
    model.opset_import.sort(key=lambda operator_set: operator_set.domain)
    for node in model.graph.node:
        for attribute in list(node.attribute):
            if attribute.name in ("nodes_hitrates", "nodes_missing_value_tracks_true"):
                node.attribute.remove(attribute)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
    progress(f"{path}: {path.stat().st_size:,} bytes")


def show_thresholds(probabilities, amounts, labels):
    """Prints what each score would catch in the training week; each tree judges only rows it was not trained on."""
    scores = np.rint(1000 * np.nan_to_num(probabilities))
    print(f"\n{'training week':24}{'payments':>10}{'frauds':>8}{'precision':>11}{'recall':>8}")
    chosen = [(f"score >= {at}", scores >= at) for at in (50, 100, 200, 300, 400, 500, 600, 700, 800, 900)]
    for name, rows in chosen + [("amount > 220", amounts > 220)]:
        frauds = labels[rows].sum()
        precision = frauds / max(rows.sum(), 1)
        print(f"{name:24}{rows.sum():>10}{frauds:>8}{precision:>11.3f}{frauds / labels.sum():>8.3f}")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("transactions", type=Path)
    arguments.add_argument("output", type=Path)
    arguments.add_argument("--features-sample", type=Path)
    options = arguments.parse_args()

    transactions = read(options.transactions)
    progress(f"{len(transactions):,} transactions read")
    columns = features(transactions)
    if options.features_sample:
        compare_with_sample(transactions, columns, options.features_sample)
    # Single precision, as the model's input has it.
    rows, labels = columns.to_numpy(np.float32), transactions["TX_FRAUD"].to_numpy()
    training, test = weeks(transactions, TRAINING_START)
    for name, week in (("training", training), ("test", test)):
        progress(f"{name} week: {len(week):,} transactions, {labels[week].sum()} frauds")

    forest = train(rows[training], labels[training])
    export(forest, options.output)
    session = onnxruntime.InferenceSession(options.output, providers=["CPUExecutionProvider"])
    scores = session.run(["probabilities"], {"columns": rows[test]})[0][:, 1]
    difference = np.abs(scores - forest.predict_proba(rows[test])[:, 1]).max()
    assert difference < 1e-5, f"the exported model differs by {difference}"

    show_thresholds(forest.oob_decision_function_[:, 1], rows[training, 0], labels[training])
    reached = (
        roc_auc_score(labels[test], scores),
        average_precision_score(labels[test], scores),
        card_precision(transactions.iloc[test], scores),
    )
    print(f"\n{'test week':24}{'AUC ROC':>10}{'average precision':>20}{'card precision@100':>21}")
    for name, (auc, precision, cards) in {**PUBLISHED, "this model": reached}.items():
        print(f"{name:24}{auc:>10.3f}{precision:>20.3f}{cards:>21.3f}")


if __name__ == "__main__":
    main()
