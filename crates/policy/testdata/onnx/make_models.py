"""Writes the golden ONNX models beside this file, each with 50 rows and the probabilities expected for them.

    python make_models.py

Made with Python 3.11 and numpy 2.4.6, scikit-learn 1.9.1, xgboost 3.2.0, onnx 1.23.2, onnxmltools 1.16.0, skl2onnx 1.20.0,
onnxruntime 1.32.0. The data is invented here. A row of a .csv is the model's columns and then the probability of class 1,
as onnxruntime gives it. For two_class_xgboost it is what XGBoost itself gives, because onnxruntime uses the wrong class.
"""

from pathlib import Path

import numpy as np
import onnxmltools
import onnxruntime
import xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from skl2onnx import to_onnx
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

HERE = Path(__file__).parent
COLUMNS = 5
ROWS = 50

random = np.random.default_rng(7)
X = random.normal(size=(2000, COLUMNS)).astype(np.float32)
X[:, 4] = random.integers(0, 3, size=2000)
y = (X[:, 0] + X[:, 1] * X[:, 2] + 0.5 * X[:, 4] + random.normal(size=2000) > 2).astype(int)
holed = X.copy()
holed[random.random(X.shape) < 0.1] = np.nan


def write(name, model, rows, expected=None):
    """Writes the model, and a few rows with the answers expected for them."""
    # The exporters choose the graph's name and the order of the operator sets at random.
    model.graph.name = name
    model.opset_import.sort(key=lambda operator_set: operator_set.domain)
    (HERE / f"{name}.onnx").write_bytes(model.SerializeToString())
    rows = rows[:ROWS]
    if expected is None:
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        answers = session.run(None, {session.get_inputs()[0].name: rows})[1]
        expected = [answer[1] for answer in answers]
    with open(HERE / f"{name}.csv", "w") as table:
        for row, probability in zip(rows, expected):
            print(*(np.format_float_positional(value) for value in [*row, np.float32(probability)]), sep=",", file=table)


def from_xgboost(model):
    return onnxmltools.convert_xgboost(model, initial_types=[("X", FloatTensorType([None, COLUMNS]))])


boosted = xgboost.XGBClassifier(n_estimators=30, max_depth=4, random_state=0, n_jobs=1).fit(holed, y)
write("xgboost", from_xgboost(boosted), holed)

two_class = xgboost.XGBClassifier(
    n_estimators=5, max_depth=3, objective="multi:softprob", num_class=2, random_state=0, n_jobs=1
).fit(holed, y)
write("two_class_xgboost", from_xgboost(two_class), holed, two_class.predict_proba(holed[:ROWS])[:, 1])

# Includes the Cast and ZipMap that scikit-learn's exporter adds by default.
forest = RandomForestClassifier(n_estimators=20, max_depth=5, random_state=0).fit(X, y)
write("forest", to_onnx(forest, X[:1]), X)

# Includes an Identity.
gradient = GradientBoostingClassifier(n_estimators=20, max_depth=3, random_state=0).fit(X, y)
write("gradient_boosting", to_onnx(gradient, X[:1], options={"zipmap": False}), X)

logistic = LogisticRegression().fit(X, y)
write("logistic_regression", to_onnx(logistic, X[:1]), X)
