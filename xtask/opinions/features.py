"""A second opinion on features: computes every aggregate of a policy with window queries of DuckDB, and compares them with what the engine computed.

usage: features.py FINAIRA [PAYMENTS]

FINAIRA is the program that decides the payments (`finaira backtest`), PAYMENTS is how many random ones (100,000). Exits with 1 and lists
differences if there are any. Whole numbers and booleans must be equal; doubles may differ by one part in a billion, because DuckDB adds
doubles where the engine adds integers. Missing values must be missing in both.
"""

import pathlib
import random
import subprocess
import sys
import tempfile

import duckdb

SECOND, DAY = 10**9, 86_400 * 10**9
SEED = 20261130

# The records of a stream: which payments have the same records, which payments add one, and the item.
STREAMS = {
    "all": ("customer", "true", "device"),
    "small": ("customer", "amount < 5000", None),
    "pair": ("customer, device", "device is not null", None),
    "by_country": ("customer, country", "true", None),
    "by_hour": ("customer, (time // 3600000000000) % 24", "true", None),
    "countries": ("device", "device is not null", "country"),
}


def features():
    """Yields the stream, the aggregate, the length and the delay of each feature, in nanoseconds, and other settings."""
    everything = "count sum mean stddev min max median last previous since_last since_first ratio zscore".split()
    for aggregate in everything:
        for length, delay in ((7 * DAY, 0), (30 * DAY, 0), (10 * DAY, 3 * DAY), (3_600 * SECOND, 1)):
            yield "all", aggregate, length, delay, {}
        yield "small", aggregate, 14 * DAY, 0, {}
    for share in (0, 0.05, 0.25, 0.333333, 0.9, 0.99, 1):
        yield "all", "quantile", 20 * DAY, 0, {"quantile": share}
        yield "small", "quantile", 20 * DAY, 2 * DAY, {"quantile": share}
    for aggregate in ("count_change", "sum_change"):
        yield "all", aggregate, 5 * DAY, 0, {}
        yield "all", aggregate, 2 * DAY, DAY, {"compare_to": 12 * DAY}
        yield "small", aggregate, 2 * DAY, 0, {"compare_to": 12 * DAY}
    for stream in ("pair", "by_country", "by_hour"):
        for aggregate in ("count", "sum", "max", "stddev", "since_last", "zscore"):
            yield stream, aggregate, 30 * DAY, 0, {}
    for stream in ("all", "countries"):
        for aggregate in ("distinct", "seen"):
            yield stream, aggregate, 10 * DAY, 0, {}
            yield stream, aggregate, 10 * DAY, 2 * DAY, {}
    # A label is known two days after its payment, so windows that end two days ago have all labels.
    for aggregate in ("label_count", "label_rate"):
        yield "all", aggregate, 30 * DAY, 2 * DAY, {}
        yield "by_country", aggregate, 30 * DAY, 3 * DAY, {}


def query(stream, aggregate, length, delay, settings):
    """The same in SQL."""
    keys, recorded, item = STREAMS[stream]

    def over(length, delay, rest=""):
        frame = "range between %d preceding and %d preceding %s" % (length + delay - 1, delay, rest)
        return "over (partition by %s order by time %s)" % (keys, frame)

    window = over(length, delay)
    earlier = over(length, delay, "exclude current row")
    value = "case when %s then amount end" % recorded
    at = "case when %s then time end" % recorded
    count = "count(%s) %s" % (value, window)
    either = lambda condition, result: "case when %s then %s end" % (condition, result)

    def change(part):
        before = over(settings.get("compare_to", length), length + delay)
        result = "(%s)::double / (%s)" % (part % (value, window), part % (value, before))
        ratio = settings.get("compare_to", length) / length
        return either("coalesce(%s, 0) <> 0" % (part % (value, before)), "coalesce(%s, 0) * %r" % (result, ratio))

    # The payment's own value counts as recorded for `last` and `previous` only if the window ends at the payment.
    newest = "list(%s) filter (%s) %s" % (value, recorded, window)
    mean, deviation = ("%s(%s) %s" % (name, value, earlier) for name in ("avg", "stddev_samp"))
    queries = {
        "count": lambda: count,
        "sum": lambda: "coalesce(sum(%s) %s, 0)" % (value, window),
        "mean": lambda: "coalesce(avg(%s) %s, 0.0)" % (value, window),
        "stddev": lambda: "coalesce(stddev_samp(%s) %s, 0.0)" % (value, window),
        "min": lambda: "min(%s) %s" % (value, window),
        "max": lambda: "max(%s) %s" % (value, window),
        "median": lambda: nearest_rank(newest, 0.5),
        "quantile": lambda: nearest_rank(newest, settings["quantile"]),
        "last": lambda: "list_extract(%s, -1)" % newest,
        "previous": lambda: "list_extract(%s, -2)" % newest,
        "since_last": lambda: "(time - max(%s) %s) // %d" % (at, earlier, SECOND),
        "since_first": lambda: "(time - min(%s) %s) // %d" % (at, earlier, SECOND),
        "ratio": lambda: either("%s <> 0" % mean, "amount / (%s)" % mean),
        "zscore": lambda: either("%s > 0" % deviation, "(amount - %s) / (%s)" % (mean, deviation)),
        "count_change": lambda: change("count(%s) %s"),
        "sum_change": lambda: change("sum(%s) %s"),
        "distinct": lambda: "count(distinct case when %s then %s end) %s" % (recorded, item, window),
        "seen": lambda: either(
            "%s is not null" % item, "list_contains(list(%s) filter (%s) %s, %s)" % (item, recorded, earlier, item)
        ),
        "label_count": lambda: "count(%s) filter (fraud = 1) %s" % (value, window),
        "label_rate": lambda: "coalesce((count(%s) filter (fraud = 1) %s)::double / nullif(%s, 0), 0.0)" % (value, window, count),
    }
    result = queries[aggregate]()
    if aggregate == "seen":
        result = either("%s is not null" % item, "coalesce(%s, false)" % result)
    # A payment without the entity of a stream has none of its features.
    nullable = [key for key in keys.split(", ") if key == "device"]
    return either(" and ".join("%s is not null" % key for key in nullable), result) if nullable else result


def nearest_rank(values, share):
    """The smallest value such that at least this share of all values is not larger."""
    millionths = round(share * 10**6)
    rank = "greatest(1, (len(%s) * %d + 999999) // 1000000)" % (values, millionths)
    return "list_extract(list_sort(%s), %s)" % (values, rank)


def name_of(number, feature):
    return "f%d_%s_%s" % (number, feature[0], feature[1])


def write_policy(folder, listed):
    text = pathlib.Path(__file__).with_name("policy.toml").read_text()
    for number, feature in enumerate(listed):
        stream, aggregate, length, delay, settings = feature
        text += '\n[features.%s]\nstream = "%s"\naggregate = "%s"\n' % (name_of(number, feature), stream, aggregate)
        text += 'window = "%dns"\ndelay = "%dns"\n' % (length, delay)
        if "quantile" in settings:
            text += "quantile = %s\n" % settings["quantile"]
        if "compare_to" in settings:
            text += 'compare_to = "%dns"\n' % settings["compare_to"]
    folder.mkdir()
    (folder / "policy.toml").write_text(text)


def write_payments(file, count):
    """Random payments, in order of time, no two at the same time."""
    chance = random.Random(SEED)
    start, times = 1_700_000_000 * SECOND, set()
    while len(times) < count:
        times.add(start + chance.randrange(90 * DAY // 10**6) * 10**6)
    with file.open("w") as out:
        out.write("id,time,amount,customer,device,country,fraud\n")
        for number, at in enumerate(sorted(times)):
            # Some customers have a thousand payments and some a few, and each uses few devices.
            customer = int(chance.expovariate(0.01)) % 700
            device = "" if chance.random() < 0.1 else "d%d" % (customer * 3 + int(chance.expovariate(0.9)))
            amount = chance.choice((0, 100, 999, chance.randrange(10_000), chance.randrange(10_000_000)))
            row = (number, iso(at), amount, "c%d" % customer, device, chance.choice(("NO", "SE", "FR")), int(chance.random() < 0.03))
            out.write(",".join(map(str, row)) + "\n")


def iso(at):
    import datetime

    moment = datetime.datetime.fromtimestamp(at // SECOND, datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + ".%03dZ" % (at % SECOND // 10**6)


def main(finaira, count):
    listed = list(features())
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        payments, decided = folder / "payments.csv", folder / "decided.parquet"
        write_policy(folder / "policy", listed)
        write_payments(payments, count)
        subprocess.run(
            [finaira, "backtest", "--policy", folder / "policy", "--input", payments, "--output", decided],
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=1800,
        )
        database = duckdb.connect()
        database.execute("set threads to 2")
        database.execute(
            "create table payments as select id, epoch_ns(time) as time, amount, customer, device, country, fraud from read_csv(?,"
            " columns = {id: 'bigint', time: 'timestamp', amount: 'bigint', customer: 'varchar', device: 'varchar',"
            " country: 'varchar', fraud: 'bigint'}, nullstr = '')",
            [str(payments)],
        )
        database.execute("create table decided as select * from read_parquet(?)", [str(decided)])
        rows = database.execute("select count(*) from decided where error is null").fetchone()[0]
        assert rows == count, "%d of %d payments were decided" % (rows, count)
        wrong = 0
        for number, feature in enumerate(listed):
            wrong += not compare(database, name_of(number, feature), query(*feature), count)
    print("%d features of %d payments: %d differ" % (len(listed), count, wrong))
    return 1 if wrong else 0


def compare(database, name, sql, count):
    """Compares one feature of all payments, says what it found, and returns whether all are equal."""
    is_double = "double" in database.execute("select typeof(%s) from decided limit 1" % name).fetchone()[0].lower()
    same = "found is not distinct from expected"
    if is_double:
        same = "(%s) or coalesce(abs(found - expected) <= 1e-9 * greatest(1.0, abs(expected)), false)" % same
    found = database.execute(
        "with own as (select id, %s as expected from payments)"
        " select count(*) filter (not (%s)), count(found), any_value(id) filter (not (%s)), any_value(found) filter (not (%s)),"
        " any_value(expected) filter (not (%s)) from (select decided.id, decided.%s as found, own.expected from decided"
        " join own on own.id = decided.id::bigint)" % (sql, same, same, same, same, name)
    ).fetchone()
    different, present, payment, one, other = found
    if different:
        print("%s: %d of %d differ, for example payment %s: %s, DuckDB %s" % (name, different, count, payment, one, other))
    assert present > 0, "%s: every value is missing" % name
    return not different


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: features.py FINAIRA [PAYMENTS]")
    sys.exit(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 100_000))
