"""Trains models/fraud.onnx, the model of this policy, on simulated purchases.

    python train.py                     # writes models/fraud.onnx and prints how good it is on the last three weeks
    python train.py --file shop.csv     # writes other purchases of the same kind, for `finaira backtest`

Made with Python 3.11, numpy 2.4.6, scikit-learn 1.9.1, onnx 1.23.2, skl2onnx 1.20.0; the same versions give the same model.

Nothing here is real: customers and fraudsters are drawn at random. `finaira demo` (README.md) follows the same description
with other code, so the demo does not test the model on its training data. Neither of them says how well a model does on real
payments. The features are computed as policy.toml defines them, over attempts, in order of time.
"""

import argparse
from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np

MINUTE, HOUR, DAY = 60, 3600, 86_400
DAYS, CUSTOMERS, MERCHANTS = 90, 1500, 60
COUNTRIES = ["XB", "XC", "XD"]


def simulate(random):
    """Returns purchases as dictionaries in order of time; amounts in cents, times in seconds."""
    rows = []
    usual = random.lognormal(np.log(2500), 0.5, CUSTOMERS)
    # A few merchants have most of the customers.
    weights = 1 / np.arange(1, MERCHANTS + 1)
    weights /= weights.sum()
    abroad = random.random(MERCHANTS) < 0.15
    phones = [f"device_{customer:04}" for customer in range(CUSTOMERS)]

    def buy(time, customer, amount, *, fraud=False, device=None, merchant=None):
        if merchant is None:
            merchant = int(random.choice(MERCHANTS, p=weights))
        rows.append({
            "time": int(time), "amount": max(50, int(amount)), "customer": f"customer_{customer:04}",
            "card": f"card_{customer:04}", "merchant": f"merchant_{merchant:03}", "device": device or "",
            "card_present": device is None, "country": COUNTRIES[merchant % 3] if abroad[merchant] else "XA",
            "fraud": fraud,
        })

    def hour(night):
        return random.uniform(0, 6 * HOUR) if random.random() < night else random.triangular(7, 17, 24) * HOUR

    for customer in range(CUSTOMERS):
        for _ in range(random.integers(12, 60)):
            time = random.integers(DAYS) * DAY + hour(night=0.04)
            if random.random() < 0.002:
                phones[customer] = f"device_{customer:04}_{random.integers(1000)}"
            for stop in range(random.choice([1, 2, 3], p=[0.85, 0.1, 0.05])):
                amount = usual[customer] * random.lognormal(0, 0.6) * (10 if random.random() < 0.01 else 1)
                if random.random() < 0.15:  # a coffee, a song
                    amount = random.uniform(80, 400)
                device = None if random.random() < 0.4 else phones[customer]
                buy(time + stop * random.uniform(10 * MINUTE, HOUR), customer, amount, device=device)

    for gang in range(80):  # card testing: tiny payments on stolen cards, then a large one
        time, device = random.uniform(0, DAYS * DAY), f"device_tester_{gang}"
        for customer in random.choice(CUSTOMERS, 5, replace=False):
            for _ in range(random.integers(3, 7)):
                time += random.uniform(10, 40)
                buy(time, customer, random.uniform(50, 300), fraud=True, device=device)
            time += random.uniform(30, 120)
            buy(time, customer, random.uniform(15_000, 60_000), fraud=True, device=device)

    for case in range(200):  # account takeover: a new device, several times the usual amount
        customer = random.integers(CUSTOMERS)
        time = random.integers(10, DAYS) * DAY + hour(night=0.5)
        for _ in range(random.integers(2, 5)):
            buy(time, customer, usual[customer] * random.uniform(5, 14), fraud=True, device=f"device_taker_{case}")
            time += random.uniform(3 * MINUTE, 20 * MINUTE)

    for merchant in random.choice(np.arange(5, MERCHANTS), 10, replace=False):  # cloned cards at a compromised merchant
        first = random.integers(DAYS - 14)
        for _ in range(45):
            time = (first + random.integers(14)) * DAY + hour(night=0.04)
            buy(time, random.integers(CUSTOMERS), random.uniform(6_000, 25_000), fraud=True, merchant=int(merchant))

    return sorted((row for row in rows if row["time"] < DAYS * DAY), key=lambda row: row["time"])


class History:
    """The records of each entity, as times and running sums."""

    def __init__(self):
        self.times, self.sums = defaultdict(list), defaultdict(lambda: [0])

    def add(self, entity, time, value=1):
        self.times[entity].append(time)
        self.sums[entity].append(self.sums[entity][-1] + value)

    def window(self, entity, now, length, delay=0):
        """Count and sum over (now - delay - length, now - delay]."""
        times, sums = self.times[entity], self.sums[entity]
        first, end = bisect_right(times, now - delay - length), bisect_right(times, now - delay)
        return end - first, sums[end] - sums[first]


def features(rows, random):
    """Yields the model's columns, in the order of policy.toml."""
    cards, customers, devices, merchants = History(), History(), History(), History()
    reports = defaultdict(list)  # per merchant: when a fraud happened and when it was reported
    for row in rows:
        now, amount, customer, merchant = row["time"], row["amount"], row["customer"], row["merchant"]
        cards.add(row["card"], now)
        customers.add(customer, now, amount)
        merchants.add(merchant, now)
        if row["device"]:
            devices.add(row["device"], now)
        before, spent = customers.window(customer, now, 30 * DAY, HOUR)
        seen, _ = merchants.window(merchant, now, 14 * DAY, 2 * DAY)
        frauds = reports[merchant]
        of_window = frauds[bisect_left(frauds, (now - 16 * DAY + 1,)):bisect_left(frauds, (now - 2 * DAY + 1,))]
        known = sum(reported <= now for _, reported in of_window)
        yield [
            amount / 100,
            amount * before / spent if before else 1.0,
            cards.window(row["card"], now, 10 * MINUTE)[0],
            customers.window(customer, now, HOUR)[0],
            customers.window(customer, now, DAY)[0],
            customers.window(customer, now, DAY)[1] / 100,
            devices.window(row["device"], now, 30 * DAY)[0] if row["device"] else 0,
            devices.window(row["device"], now, 10 * MINUTE)[0] if row["device"] else 0,
            known / seen if seen else 0.0,
            row["card_present"],
            now % DAY < 6 * HOUR,
            row["country"] != "XA",
        ]
        if row["fraud"]:
            insort(frauds, (now, now + random.uniform(0.5, 3) * DAY))


def train(path):
    from skl2onnx import to_onnx
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.metrics import average_precision_score, roc_auc_score

    random = np.random.default_rng(1)
    rows = simulate(random)
    X = np.array(list(features(rows, random)), dtype=np.float32)
    y = np.array([row["fraud"] for row in rows], dtype=int)
    late = np.array([row["time"] >= (DAYS - 21) * DAY for row in rows])
    model = GradientBoostingClassifier(n_estimators=80, max_depth=4, min_samples_leaf=20, subsample=0.7, random_state=1)
    model.fit(X[~late], y[~late])
    found = model.predict_proba(X[late])[:, 1]
    print(f"{len(rows)} purchases, {y.mean():.1%} fraud; trained on the first {DAYS - 21} days")
    print(f"last 21 days: average precision {average_precision_score(y[late], found):.3f}, AUC {roc_auc_score(y[late], found):.3f}")
    for threshold in [0.5, 0.9]:
        flagged = found >= threshold
        print(f"  at {threshold}: {y[late][flagged].sum()} of {y[late].sum()} frauds, {(1 - y[late][flagged]).sum()} false alarms")
    onnx = to_onnx(model, X[:1], options={"zipmap": False})
    # The exporter chooses the graph's name and the order of the operator sets at random.
    onnx.graph.name = "fraud"
    onnx.opset_import.sort(key=lambda operator_set: operator_set.domain)
    path.write_bytes(onnx.SerializeToString())
    print(f"wrote {path}, {path.stat().st_size} bytes")


def write(path):
    start = datetime(2026, 1, 1, tzinfo=timezone.utc)
    with open(path, "w") as file:
        print("payment,time,amount,customer,card,merchant,device,card_present,country,fraud", file=file)
        for number, row in enumerate(simulate(np.random.default_rng(2)), start=1):
            time = (start + timedelta(seconds=row["time"])).isoformat().replace("+00:00", "Z")
            flag = {True: "true", False: "false"}
            print(number, time, row["amount"], row["customer"], row["card"], row["merchant"], row["device"],
                  flag[row["card_present"]], row["country"], flag[row["fraud"]], sep=",", file=file)
    print(f"wrote {path}")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="Trains models/fraud.onnx on simulated purchases.")
    arguments.add_argument("--file", type=Path, help="write purchases as CSV instead")
    arguments = arguments.parse_args()
    write(arguments.file) if arguments.file else train(Path(__file__).parent / "models" / "fraud.onnx")
