"""Writes small models with covers beside this file, each with rows and the contributions expected for them.

    python make_explained.py

Made with Python 3.11 and numpy 2.4.6, scikit-learn 1.9.1, xgboost 3.2.0, lightgbm 4.6.0, onnx 1.23.2, onnxmltools 1.16.0,
skl2onnx 1.20.0. The data is invented here. A row of a .csv is the model's columns, then the contribution of each column, and
then the expected score: `pred_contribs` of XGBoost, `pred_contrib` of LightGBM, and coefficient times scaled value of the
linear model.
"""

import sys
from pathlib import Path

import lightgbm
import numpy as np
import onnxmltools
import xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

HERE = Path(__file__).parent
sys.path.append(str(HERE.parents[4] / "scripts"))
import add_covers

COLUMNS, ROWS = 6, 30

random = np.random.default_rng(11)
X = random.normal(size=(3000, COLUMNS)).astype(np.float32)
X[:, 4] = random.integers(0, 3, size=len(X))
X[:, 5] = random.integers(0, 12, size=len(X))
odds = X[:, 0] + X[:, 1] * X[:, 2] + 0.5 * X[:, 4] + np.isin(X[:, 5], [1, 4, 5, 9])
y = (odds + random.normal(size=len(X)) > 2).astype(int)
holed = X.copy()
holed[random.random(X.shape) < 0.15] = np.nan
TYPES = [("X", FloatTensorType([None, COLUMNS]))]


def write(name, model, rows, contributions):
    # The exporters choose the graph's name and the order of the operator sets at random.
    model.graph.name = name
    model.opset_import.sort(key=lambda operator_set: operator_set.domain)
    (HERE / f"{name}.onnx").write_bytes(model.SerializeToString())
    with open(HERE / f"{name}.csv", "w") as table:
        for row, expected in zip(rows[:ROWS], contributions[:ROWS]):
            print(*map(repr, map(float, [*row, *expected])), sep=",", file=table)


def from_xgboost(name, model, rows, columns):
    model.fit(rows, y)
    onnx = onnxmltools.convert_xgboost(model, initial_types=TYPES)
    add_covers.from_xgboost(onnx, model.get_booster())
    add_covers.name_columns(onnx, columns)
    write(name, onnx, rows, model.get_booster().predict(xgboost.DMatrix(rows), pred_contribs=True))


def from_lightgbm(name, model, rows, **fit):
    model.fit(rows, y, **fit)
    onnx = onnxmltools.convert_lightgbm(model, initial_types=TYPES, zipmap=False)
    add_covers.from_lightgbm(onnx, model.booster_)
    write(name, onnx, rows, model.predict(rows, pred_contrib=True))


names = [f"c{column}" for column in range(COLUMNS)]
from_xgboost("xgboost", xgboost.XGBClassifier(n_estimators=12, max_depth=4, random_state=0, n_jobs=1), holed, names)
from_xgboost("xgboost_deep", xgboost.XGBClassifier(n_estimators=2, max_depth=9, random_state=0, n_jobs=1), X, names)
few = {"n_jobs": 1, "random_state": 0, "verbose": -1, "deterministic": True}
from_lightgbm("lightgbm", lightgbm.LGBMClassifier(n_estimators=12, num_leaves=12, **few), holed)
from_lightgbm(
    "lightgbm_categories",
    lightgbm.LGBMClassifier(n_estimators=4, num_leaves=8, min_data_per_group=10, cat_smooth=1, **few),
    X, categorical_feature=[5],
)

linear = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
scaler, logistic = linear[0], linear[1]
contributions = logistic.coef_[0] * scaler.transform(X[:ROWS])
write(
    "scaled_logistic", to_onnx(linear, X[:1], options={"zipmap": False}), X,
    np.hstack([contributions, np.repeat(logistic.intercept_[None], ROWS, 0)]),
)
