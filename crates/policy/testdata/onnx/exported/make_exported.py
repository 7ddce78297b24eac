"""Writes small models of every kind that is supported beside this file, each with rows and the probability expected for them.

    python make_exported.py

Made with Python 3.11 and numpy 2.4.6, pandas 3.1.1, scikit-learn 1.9.1, xgboost 3.2.0, lightgbm 4.6.0, catboost 1.2.10,
onnx 1.23.2, onnxmltools 1.16.0, skl2onnx 1.20.0, onnxruntime 1.32.0. The data is invented here. A row of a .csv is the model's
columns and then the probability of class 1, as onnxruntime gives it.
"""

from pathlib import Path

import catboost
import lightgbm
import numpy as np
import onnx
import onnxmltools
import onnxruntime
import xgboost
from onnx import TensorProto, helper, numpy_helper
from onnxmltools.convert.common.data_types import FloatTensorType
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType as Floats
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    AdaBoostClassifier, ExtraTreesClassifier, GradientBoostingClassifier, HistGradientBoostingClassifier, IsolationForest,
    RandomForestClassifier, RandomForestRegressor, StackingClassifier, VotingClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, SGDClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    KBinsDiscretizer, MaxAbsScaler, MinMaxScaler, Normalizer, OneHotEncoder, OrdinalEncoder, PowerTransformer, RobustScaler,
    StandardScaler,
)
from sklearn.tree import DecisionTreeClassifier

HERE = Path(__file__).parent
COLUMNS, ROWS = 5, 20

random = np.random.default_rng(5)
X = random.normal(size=(1500, COLUMNS)).astype(np.float32)
X[:, 4] = random.integers(0, 4, size=len(X))
y = (X[:, 0] + X[:, 1] * X[:, 2] + 0.5 * X[:, 4] + random.normal(size=len(X)) > 1.5).astype(int)
holed = X.copy()
holed[random.random(X.shape) < 0.1] = np.nan
TYPES = [("X", FloatTensorType([None, COLUMNS]))]
OPERATORS = {"": 21, "ai.onnx.ml": 3}


def plain_numbers(make):
    """Newer versions of onnx refuse the bools that skl2onnx gives it for histogram gradient boosting."""

    def wrapped(key, value, *arguments, **options):
        if isinstance(value, (list, tuple)):
            value = [int(item) if isinstance(item, (bool, np.bool_, np.integer)) else item for item in value]
        return make(key, value, *arguments, **options)

    return wrapped


onnx.helper.make_attribute = plain_numbers(onnx.helper.make_attribute)


def write(name, model, rows=X):
    """Writes the model, and a few rows with the answers of onnxruntime."""
    # The exporters choose the graph's name and the order of the operator sets at random.
    model.graph.name = name
    sets = sorted({(operators.domain, operators.version) for operators in model.opset_import})
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(domain, version) for domain, version in sets)
    file = model.SerializeToString()
    (HERE / f"{name}.onnx").write_bytes(file)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    rows = rows[:ROWS]
    inputs = session.get_inputs()
    if len(inputs) == 1:
        feed = {inputs[0].name: rows}
    else:
        feed = {input.name: rows[:, [at]] for at, input in enumerate(inputs)}
    outputs = [output for output in session.get_outputs() if output.type != "tensor(int64)"]
    named = [output for output in outputs if output.name in ("probabilities", "probability")] or outputs
    (answers,) = session.run([named[0].name], feed)
    probabilities = [answer[1] if isinstance(answer, dict) else np.ravel(answer)[-1] for answer in answers]
    with open(HERE / f"{name}.csv", "w") as table:
        for row, probability in zip(rows, probabilities):
            assert 0 <= probability <= 1, (name, probability)
            print(*map(repr, map(float, [*row, probability])), sep=",", file=table)


def scikit_learn(name, model, rows=X, types=None, zipmap=False, target=y):
    model.fit(rows, target)
    options = {"zipmap": zipmap} if hasattr(model, "predict_proba") else None
    arguments = {"initial_types": types} if types else {"X": rows[:1]}
    exported = to_onnx(model, options=options, target_opset=OPERATORS, **arguments)
    write(name, exported, rows)
    return exported


def from_lightgbm(name, model, rows, **fit):
    model.fit(rows, y, **fit)
    write(name, onnxmltools.convert_lightgbm(model, initial_types=TYPES, zipmap=False), rows)


def from_catboost(name, model, rows=holed):
    model.fit(rows, y)
    path = HERE / f"{name}.onnx"
    model.save_model(str(path), format="onnx")
    write(name, onnx.load(path), rows)


scikit_learn("histogram_gradient_boosting", HistGradientBoostingClassifier(max_iter=6, max_leaf_nodes=8), holed)
scikit_learn("extra_trees", ExtraTreesClassifier(n_estimators=5, max_depth=4, random_state=0))
scikit_learn("forest_regressor", RandomForestRegressor(n_estimators=4, max_depth=4, random_state=0))
scikit_learn("decision_tree", DecisionTreeClassifier(max_depth=4, random_state=0), zipmap=True)
scikit_learn("ada_boost", AdaBoostClassifier(n_estimators=4, random_state=0))
scikit_learn("linear_regression", LinearRegression(), target=0.5 + np.tanh(X[:, 0] + X[:, 1]) / 8)
scikit_learn("stochastic_gradient", SGDClassifier(loss="log_loss", random_state=0))
for activation in ("relu", "tanh", "logistic"):
    network = MLPClassifier((6, 4), activation=activation, max_iter=120, random_state=0)
    scikit_learn(f"network_{activation}", make_pipeline(StandardScaler(), network))
boosted = GradientBoostingClassifier(n_estimators=3, max_depth=3, random_state=0)
scikit_learn("calibrated_sigmoid", CalibratedClassifierCV(boosted, method="sigmoid", cv=2))
scikit_learn("calibrated_logistic", CalibratedClassifierCV(LogisticRegression(), method="sigmoid", cv=2))
forest = RandomForestClassifier(n_estimators=4, max_depth=3, random_state=0)
scikit_learn("calibrated_isotonic", CalibratedClassifierCV(forest, method="isotonic", cv=2))
scikit_learn("voting", VotingClassifier([("a", LogisticRegression()), ("b", boosted)], voting="soft", flatten_transform=False))
scikit_learn("stacking", StackingClassifier([("a", LogisticRegression()), ("b", boosted)], cv=2))
for name, scaler in [
    ("min_max", MinMaxScaler()), ("min_max_clipped", MinMaxScaler(clip=True)), ("robust", RobustScaler()),
    ("max_abs", MaxAbsScaler()), ("normalised", Normalizer()), ("power", PowerTransformer()),
    ("bins", KBinsDiscretizer(4, encode="ordinal", quantile_method="linear")),
]:
    scikit_learn(f"pipeline_{name}", make_pipeline(scaler, LogisticRegression()))
scikit_learn("pipeline_imputed", make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()), holed)
numeric = ("numeric", make_pipeline(SimpleImputer(), StandardScaler()), [0, 1, 2, 3])
one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
scikit_learn("pipeline_one_hot", make_pipeline(ColumnTransformer([numeric, ("sets", one_hot, [4])]), LogisticRegression()))
scikit_learn("pipeline_ordinal", make_pipeline(ColumnTransformer([numeric, ("sets", OrdinalEncoder(), [4])]), boosted))

# One input per column, which names the columns.
import pandas  # noqa: E402

names = ["amount", "ratio", "speed", "age", "kind"]
frame = pandas.DataFrame(X, columns=names)
named = make_pipeline(ColumnTransformer([("numeric", StandardScaler(), names[:4]), ("sets", one_hot, ["kind"])]), boosted)
named.fit(frame, y)
write("named_columns", to_onnx(
    named, initial_types=[(name, Floats([None, 1])) for name in names], options={"zipmap": False},
    target_opset=OPERATORS,
))

# The anomaly of an isolation forest is the negative of what the exporter calls score_samples.
isolation = IsolationForest(n_estimators=6, max_samples=24, random_state=0).fit(X)
exported = to_onnx(isolation, X[:1], options={id(isolation): {"score_samples": True}}, target_opset=OPERATORS)
exported.graph.node.append(helper.make_node("Neg", ["score_samples"], ["probability"]))
del exported.graph.output[:]
exported.graph.output.append(helper.make_tensor_value_info("probability", TensorProto.FLOAT, [None, 1]))
write("isolation_forest", exported)

few = {"n_jobs": 1, "random_state": 0}
from_lightgbm("lightgbm", lightgbm.LGBMClassifier(n_estimators=6, num_leaves=8, verbose=-1, **few), holed)
from_lightgbm(
    "lightgbm_forest",
    lightgbm.LGBMClassifier(
        boosting_type="rf", subsample=0.5, subsample_freq=1, n_estimators=4, num_leaves=8, verbose=-1, **few
    ), X,
)
for name, model in [
    ("xgboost", xgboost.XGBClassifier(n_estimators=6, max_depth=3, **few)),
    ("xgboost_forest", xgboost.XGBRFClassifier(n_estimators=6, max_depth=3, **few)),
]:
    write(name, onnxmltools.convert_xgboost(model.fit(holed, y), initial_types=TYPES), holed)
from_catboost("catboost", catboost.CatBoostClassifier(iterations=6, depth=3, verbose=0, allow_writing_files=False))


def ensemble(name, after, **attributes):
    """A TreeEnsemble of version 5 of the operator set, and the nodes after it."""
    tree = helper.make_node("TreeEnsemble", ["X"], ["scores"], domain="ai.onnx.ml", **attributes)
    output = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, None])
    graph = helper.make_graph([tree, *after], name, [
        helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, COLUMNS])
    ], [output])
    sets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 5)]
    write(name, helper.make_model(graph, opset_imports=sets, ir_version=10), X)


def floats(*values):
    return numpy_helper.from_array(np.array(values, dtype=np.float32))


# Two trees. The first asks whether the last column is 0 or 3 (mode 6), then whether another is below 0.25 (mode 1).
ensemble(
    "ensemble_5",
    [helper.make_node("Sigmoid", ["scores"], ["probabilities"])],
    n_targets=1, aggregate_function=1, post_transform=0, tree_roots=[0, 2],
    nodes_featureids=[4, 0, 1], nodes_splits=floats(0, 0.25, -0.5),
    nodes_modes=numpy_helper.from_array(np.array([6, 1, 3], dtype=np.uint8)),
    nodes_truenodeids=[1, 0, 2], nodes_trueleafs=[0, 1, 1], nodes_falsenodeids=[1, 1, 3], nodes_falseleafs=[1, 1, 1],
    nodes_missing_value_tracks_true=[0, 1, 0], membership_values=floats(0, 3, np.nan),
    leaf_targetids=[0, 0, 0, 0], leaf_weights=floats(0.75, -1.5, 0.5, -0.25),
)
# One tree with a probability per class in each leaf is two trees here, one per target.
ensemble(
    "ensemble_5_classes",
    [helper.make_node("Identity", ["scores"], ["probabilities"])],
    n_targets=2, aggregate_function=1, post_transform=0, tree_roots=[0, 1],
    nodes_featureids=[0, 0], nodes_splits=floats(0.5, 0.5),
    nodes_modes=numpy_helper.from_array(np.array([0, 0], dtype=np.uint8)),
    nodes_truenodeids=[0, 2], nodes_trueleafs=[1, 1], nodes_falsenodeids=[1, 3], nodes_falseleafs=[1, 1],
    leaf_targetids=[0, 0, 1, 1], leaf_weights=floats(0.75, 0.125, 0.25, 0.875),
)
# A network as PyTorch exports it.
weights = [random.normal(size=shape).astype(np.float32) for shape in [(4, COLUMNS), (4,), (2, 4), (2,)]]
graph = helper.make_graph(
    [
        helper.make_node("Gemm", ["X", "w0", "b0"], ["h0"], transB=1),
        helper.make_node("Relu", ["h0"], ["h1"]),
        helper.make_node("Gemm", ["h1", "w1", "b1"], ["h2"], transB=1),
        helper.make_node("Softmax", ["h2"], ["probabilities"], axis=1),
    ],
    "network", [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["rows", COLUMNS])],
    [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", 2])],
    [numpy_helper.from_array(value, name) for name, value in zip(["w0", "b0", "w1", "b1"], weights)],
)
write("network_gemm", helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10))
