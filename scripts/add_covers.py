"""Adds the covers of tree nodes to an ONNX model, so that Finaira can explain its scores.

    python add_covers.py model.onnx explained.onnx --xgboost model.json
    python add_covers.py model.onnx explained.onnx --lightgbm model.txt
    python add_covers.py model.onnx explained.onnx --rows rows.npy
    python add_covers.py model.onnx explained.onnx --rows rows.npy --columns amount,count_1d,age_days

A cover says how much of the training data reached a node. Exact contributions (TreeSHAP) need it, but exporters leave it
out, or write 1 everywhere. ONNX has an attribute for it, `nodes_hitrates`. From a model of XGBoost or LightGBM, the
contributions become those of that library (`pred_contribs`, `pred_contrib`). For any other model, rows of the training data
are counted at each node (`--rows`, an array with one row per payment and one column per input).

`--columns` also writes the names of the columns into the model's metadata (`feature_names`, one name a line). A policy can
then name its inputs, and Finaira refuses one that does not fit.

Needs onnx and numpy, and xgboost or lightgbm for their models.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import onnx
from onnx import helper

ENSEMBLES = ("TreeEnsembleClassifier", "TreeEnsembleRegressor")


class Trees:
    """The nodes of one tree ensemble of a graph, by tree and number."""

    def __init__(self, node):
        self.node = node
        values = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        if "nodes_values" not in values:
            raise SystemExit("the tree ensemble has no nodes_values; export it with 32-bit thresholds")
        self.keys = list(zip(values["nodes_treeids"], values["nodes_nodeids"]))
        count = len(self.keys)
        self.mode = dict(zip(self.keys, (mode.decode() for mode in values["nodes_modes"])))
        self.column = dict(zip(self.keys, values["nodes_featureids"]))
        self.threshold = dict(zip(self.keys, values["nodes_values"]))
        self.yes = dict(zip(self.keys, values["nodes_truenodeids"]))
        self.no = dict(zip(self.keys, values["nodes_falsenodeids"]))
        missing = values.get("nodes_missing_value_tracks_true") or [0] * count
        self.missing_is_yes = dict(zip(self.keys, missing))
        self.roots = {}
        for key in self.keys:
            self.roots.setdefault(key[0], key)
        self.cover = {}

    def children(self, key):
        return (key[0], self.yes[key]), (key[0], self.no[key])

    def write(self):
        unknown = [key for key in self.keys if key not in self.cover]
        if unknown:
            raise SystemExit(f"node {unknown[0][1]} of tree {unknown[0][0]} has no counterpart in the trained model")
        for attribute in list(self.node.attribute):
            if attribute.name == "nodes_hitrates":
                self.node.attribute.remove(attribute)
        covers = [float(self.cover[key]) for key in self.keys]
        self.node.attribute.append(helper.make_attribute("nodes_hitrates", covers))

    def match(self, key, split, share=1.0):
        """Gives the node `key` and those below the covers of the trained model's `split`.

        Exporters write a split on a set of categories as a chain of branches, one per category. All of them lead to one
        node or to a copy of it each.
        """
        if split.is_leaf != (self.mode[key] == "LEAF"):
            raise SystemExit(f"node {key[1]} of tree {key[0]} does not fit the trained model")
        self.cover[key] = split.cover * share
        if split.is_leaf:
            return
        chain = [key]
        while len(chain) < split.categories:
            chain.append(self.children(chain[-1])[1])
            if self.mode[chain[-1]] != "BRANCH_EQ" or self.column[chain[-1]] != self.column[key]:
                raise SystemExit(f"node {key[1]} of tree {key[0]} is not a split on {split.categories} categories")
        targets = [self.children(link)[0] for link in chain]
        copies = len(set(targets))
        yes, no = split.children
        for passed, link in enumerate(chain):
            # Of a shared node, the first branch gets all; of copies, each branch gets its part.
            left = 0 if passed and copies == 1 else yes.cover * (copies - passed) / copies
            self.cover[link] = (no.cover + left) * share if passed else split.cover * share
        for target in set(targets):
            self.match(target, yes, share / copies)
        self.match(self.children(chain[-1])[1], no, share)

    def count(self, rows):
        """Covers by the number of rows that reach a node."""
        rows = np.asarray(rows, dtype=np.float32)
        columns = 1 + max(self.column.values())
        if rows.ndim != 2 or rows.shape[1] < columns or not len(rows):
            raise SystemExit(f"the rows have the shape {rows.shape}, expected at least one row with at least {columns} columns")
        self.cover = dict.fromkeys(self.keys, 0)
        compare = {
            "BRANCH_LT": np.less, "BRANCH_LEQ": np.less_equal, "BRANCH_GT": np.greater, "BRANCH_GTE": np.greater_equal,
            "BRANCH_EQ": np.equal, "BRANCH_NEQ": np.not_equal,
        }
        for root in self.roots.values():
            waiting = [(root, rows)]
            while waiting:
                key, here = waiting.pop()
                self.cover[key] += len(here)
                if self.mode[key] == "LEAF":
                    continue
                values = here[:, self.column[key]]
                says_yes = compare[self.mode[key]](values, np.float32(self.threshold[key]))
                says_yes = np.where(np.isnan(values), bool(self.missing_is_yes[key]), says_yes)
                yes, no = self.children(key)
                waiting += [(yes, here[says_yes]), (no, here[~says_yes])]


class XgboostSplit:
    def __init__(self, node):
        self.is_leaf = "leaf" in node
        self.cover = node["cover"]
        if not self.is_leaf:
            by_number = {child["nodeid"]: child for child in node["children"]}
            # A numeric split says "yes" below its condition. A split on categories says "yes" for the others.
            condition = node["split_condition"]
            self.categories = len(condition) if isinstance(condition, list) else 1
            sides = ("no", "yes") if isinstance(condition, list) else ("yes", "no")
            self.children = [XgboostSplit(by_number[node[side]]) for side in sides]


class LightgbmSplit:
    def __init__(self, node):
        self.is_leaf = "split_index" not in node
        self.cover = node.get("leaf_count", 0) if self.is_leaf else node["internal_count"]
        if not self.is_leaf:
            self.categories = len(str(node["threshold"]).split("||")) if node["decision_type"] == "==" else 1
            self.children = [LightgbmSplit(node["left_child"]), LightgbmSplit(node["right_child"])]


def ensembles(model):
    found = [Trees(node) for node in model.graph.node if node.op_type in ENSEMBLES]
    if not found:
        raise SystemExit(f"the model has none of {', '.join(ENSEMBLES)}")
    return found


def from_splits(model, splits):
    trees, *others = ensembles(model)
    if others:
        raise SystemExit("the model has several tree ensembles, expected one")
    if len(trees.roots) != len(splits):
        raise SystemExit(f"the ONNX model has {len(trees.roots)} trees, but the trained one has {len(splits)}")
    for root, split in zip(trees.roots.values(), splits):
        trees.match(root, split)
    trees.write()


def from_xgboost(model, booster):
    """Adds the covers of an `xgboost.Booster`."""
    dump = booster.get_dump(with_stats=True, dump_format="json")
    from_splits(model, [XgboostSplit(json.loads(tree)) for tree in dump])


def from_lightgbm(model, booster):
    """Adds the covers of a `lightgbm.Booster`."""
    from_splits(model, [LightgbmSplit(tree["tree_structure"]) for tree in booster.dump_model()["tree_info"]])


def from_rows(model, rows):
    """Adds the covers that rows of the training data give. They must be what the trees read, after any scaler."""
    for trees in ensembles(model):
        trees.count(rows)
        trees.write()


def name_columns(model, names):
    """Writes the names of the columns into the model's metadata."""
    kept = [entry for entry in model.metadata_props if entry.key != "feature_names"]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    model.metadata_props.add(key="feature_names", value="\n".join(names))


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("model", type=Path)
    arguments.add_argument("output", type=Path)
    source = arguments.add_mutually_exclusive_group(required=True)
    source.add_argument("--xgboost", type=Path, help="the trained model, as Booster.save_model wrote it")
    source.add_argument("--lightgbm", type=Path, help="the trained model, as Booster.save_model wrote it")
    source.add_argument("--rows", type=Path, help="rows of the training data, as numpy.save wrote them")
    arguments.add_argument("--columns", help="the names of the columns, separated by commas")
    options = arguments.parse_args()

    model = onnx.load(options.model)
    if options.xgboost:
        import xgboost

        from_xgboost(model, xgboost.Booster(model_file=options.xgboost))
    elif options.lightgbm:
        import lightgbm

        from_lightgbm(model, lightgbm.Booster(model_file=options.lightgbm))
    else:
        from_rows(model, np.load(options.rows))
    if options.columns:
        name_columns(model, options.columns.split(","))
    onnx.save(model, options.output)


if __name__ == "__main__":
    main()
