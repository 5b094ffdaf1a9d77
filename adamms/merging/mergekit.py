"""mergekit's recipes: what they ask for in our words, and ours in theirs where mergekit can do the same.

mergekit's arithmetic of task vectors is ancestor + lambda * sum(weight * task vector), divided by the sum of weights
where `normalize` is set; ours is ancestor + scale * ((1 - alpha) * base's + alpha * donor's). So alpha is the donor's
share of the weights, or each donor's, and scale is lambda, times their sum where nothing is normalised.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adamms.checkpoint import open_checkpoint
from adamms.config import load_yaml
from adamms.errors import UserError
from adamms.mapping.plan import MergePlan
from adamms.merging.methods.method import with_rest
from adamms.merging.recipe import Alpha, Recipe

NORMALIZES = {"linear": True, "task_arithmetic": False, "ties": True, "dare_linear": False, "dare_ties": False}
"""Method -> whether mergekit normalises unless it is told; slerp has no weights."""
SIGNED = ("ties", "dare_ties")
"""Those whose values are divided by the weights that agree, in our version always."""
SPARSE = ("ties", "dare_linear", "dare_ties")
KNOWN = {"merge_method", "models", "base_model", "parameters", "dtype", "out_dtype", "name"}
RESCALES = {"task_arithmetic": False, "ties": False, "dare_linear": True, "dare_ties": True}
"""Method -> whether what is kept of a task vector makes up for what is dropped: mergekit's default, and ours always."""
ROW = {"model", "parameters"}
DTYPES = {"float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64"}
HARMLESS = {"int8_mask"}
"""Parameters that change no value: how mergekit holds its masks."""


@dataclass(frozen=True)
class Foreign:
    """A mergekit recipe in our words.

    Attributes:
        dtype: safetensors name of what mergekit would write; None where it says nothing.
    """

    base: str
    donors: tuple[str, ...]
    ancestor: str | None
    method: str
    alpha: Alpha
    options: dict[str, Any] = field(default_factory=dict)
    dtype: str | None = None

    def settings(self) -> dict[str, Any]:
        """As `MergeSettings` takes them."""
        one = len(self.donors) == 1
        found: dict[str, Any] = {"base": self.base}
        found |= {"donor": self.donors[0]} if one else {"donors": list(self.donors)}
        found |= {"ancestor": self.ancestor} if self.ancestor else {}
        return found | {"merging": {"method": self.method, "options": self.options}}

    def check_dtype(self, base: str) -> None:
        """Raises UserError where the output is to have another dtype than the base that is merged, whose dtypes it has
        here."""
        if self.dtype is None:
            return
        elements: Counter[str] = Counter()
        for tensor in open_checkpoint(base, weights=False).tensors.values():
            elements[tensor.dtype] += tensor.elements
        found = elements.most_common(1)[0][0]
        if found != self.dtype:
            raise UserError(
                f"{base}: has {found}, and so has what is merged into it; the recipe's dtype or out_dtype is "
                f"{self.dtype}: take that out, or give a base in it"
            )


def read_mergekit(path: Path) -> Foreign:
    """Reads a recipe of two models or more, the first of which is the base, and perhaps an ancestor.

    Raises:
        UserError: no such file, or it asks for something that AdaMMS does not do; says what.
    """
    found = load_yaml(path)
    method = str(found.get("merge_method"))
    if method != "slerp" and method not in NORMALIZES:
        raise UserError(f"{path}: merge_method={method}: of mergekit's, {', '.join([*NORMALIZES, 'slerp'])} are read")
    if unknown := sorted(found.keys() - KNOWN):
        raise UserError(f"{path}: {', '.join(unknown)}: not read; models, base_model and parameters are")
    rows, root, dtype = _models(path, method, found), found.get("base_model"), _dtype(path, found)
    shared = _parameters(path, "parameters", found, _of_all(method))
    if method == "slerp":
        return _slerp(path, [name for name, _ in rows], root, shared, dtype)
    needs_ancestor = method != "linear"
    if needs_ancestor:
        if not isinstance(root, str):
            raise UserError(f"{path}: base_model: {method} needs the model that both grew from")
        rows = [row for row in rows if row[0] != root]
    if len(rows) < 2:
        raise UserError(f"{path}: {len(rows)} models are merged; expected two or more, the first of them the base")
    base, *donors = (name for name, _ in rows)
    weights = [_number(path, "weight", {**shared, **given}, 1.0) for _, given in rows]
    total = sum(weights)
    if min(weights) < 0 or total <= 0:
        told = " and ".join(f"{weight:g}" for weight in weights)
        raise UserError(f"{path}: weight: {told}; expected none below 0, and one above")
    normalizes = _flag(path, "normalize", shared, NORMALIZES[method])
    if method in RESCALES and _flag(path, "rescale", shared, RESCALES[method]) != RESCALES[method]:
        raise UserError(f"{path}: rescale: {method} has it {str(RESCALES[method]).lower()} here; leave it out")
    scale = _number(path, "lambda", shared, 1.0) * (1.0 if normalizes else total)
    if method in SIGNED and not normalizes:
        raise UserError(f"{path}: {method} without `normalize: true` is not the method of its paper; set it")
    options: dict[str, Any] = {} if scale == 1 else {"scale": scale}
    if method == "linear" and options:
        raise UserError(f"{path}: the weights of linear have to add up to 1, or `normalize: true` be set")
    if method in SPARSE:
        densities = {_number(path, "density", {**shared, **given}, 1.0) for _, given in rows}
        if len(densities) > 1:
            raise UserError(f"{path}: density: all models have one here; give them the same")
        options["density"] = densities.pop()
    options |= {"trim_over": "tensor"} if method == "ties" else {}
    alphas = tuple(weight / total for weight in weights[1:])
    alpha = alphas if len(alphas) > 1 else alphas[0]
    return Foreign(base, tuple(donors), str(root) if needs_ancestor else None, method, alpha, options, dtype)


def _dtype(path: Path, found: Mapping[str, Any]) -> str | None:
    """What the output is to have: `out_dtype`, else `dtype`, in which mergekit computes, too (float32 here)."""
    key = "out_dtype" if found.get("out_dtype") is not None else "dtype"
    name = found.get(key)
    if name is None:
        return None
    known = DTYPES.get(str(name).removeprefix("torch."))
    if known is None:
        raise UserError(f"{path}: {key}={name}: expected one of {', '.join(DTYPES)}")
    return known


def _slerp(path: Path, names: list[str], root: Any, shared: Mapping[str, Any], dtype: str | None) -> Foreign:
    both = list(dict.fromkeys([*([root] if isinstance(root, str) else []), *names]))
    if len(both) != 2:
        raise UserError(f"{path}: slerp: expected two models, base_model among them")
    return Foreign(both[0], (both[1],), None, "slerp", _number(path, "t", shared, None), dtype=dtype)


def _models(path: Path, method: str, found: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Each model with its own parameters."""
    rows = found.get("models")
    if not isinstance(rows, list) or not all(
        isinstance(row, dict) and isinstance(row.get("model"), str) for row in rows
    ):
        raise UserError(f"{path}: models: expected a list of them, each with `model` (a folder or a Hub id)")
    models = []
    for row in rows:
        _check_known(path, row["model"], row, ROW)
        place = f"parameters of {row['model']}"
        models.append((row["model"], _parameters(path, place, row, _of_each(method) | HARMLESS)))
    return models


def _of_each(method: str) -> set[str]:
    """The parameters that a model may have of its own, which may be given for all models, too."""
    if method == "slerp":
        return set()
    return {"weight", "density"} if method in SPARSE else {"weight"}


def _of_all(method: str) -> set[str]:
    """The parameters of the whole merge that are read."""
    if method == "slerp":
        return {"t", *HARMLESS}
    return {*_of_each(method), "normalize", *({"lambda", "rescale"} if method in RESCALES else ()), *HARMLESS}


def _parameters(path: Path, place: str, found: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """The `parameters` of a merge or a model. Raises UserError where one is not read: it would change the result."""
    given = found.get("parameters") or {}
    if not isinstance(given, dict):
        raise UserError(f"{path}: {place}: expected names with their values, found {given!r}")
    _check_known(path, place, given, known)
    return given


def _check_known(path: Path, place: str, found: Mapping[str, Any], known: Collection[str]) -> None:
    if unknown := sorted(str(name) for name in found if name not in known):
        raise UserError(f"{path}: {place}: {', '.join(unknown)}: not read; {', '.join(sorted(known))} are")


def _flag(path: Path, name: str, given: Mapping[str, Any], default: bool) -> bool:
    value = given.get(name, default)
    if value not in (0, 1):
        raise UserError(f"{path}: {name}={value}: expected true or false")
    return bool(value)


def _number(path: Path, name: str, given: Mapping[str, Any], default: float | None) -> float:
    value = given.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(
            f"{path}: {name}={value}: expected one number; values by layer or by part of the model are not read"
        )
    return float(value)


def to_mergekit(plan: MergePlan, recipe: Recipe) -> dict[str, Any] | None:
    """The same merge as a recipe of mergekit; None where it cannot do it: other methods, and models whose tensors do
    not all merge with those of the same name, as those of two architectures."""
    method = recipe.method
    if not _same_names(plan) or (method not in NORMALIZES and method != "slerp"):
        return None
    options = recipe.to_dict()
    if options.get("trim_over", "tensor") != "tensor":
        return None
    base, *donors = (model.location for model in (plan.base, *plan.donors))
    if method == "slerp":
        return {"merge_method": method, "base_model": base, "models": [{"model": base}, {"model": donors[0]}]} | {
            "parameters": {"t": recipe.alpha}
        }
    sparse = {"density": options["density"]} if "density" in options else {}
    weights = dict(zip((base, *donors), with_rest(recipe.rule.alphas), strict=True))
    rows = [{"model": name, "parameters": {"weight": weight, **sparse}} for name, weight in weights.items()]
    found: dict[str, Any] = {"merge_method": method, "models": rows, "parameters": {"normalize": True}}
    if plan.ancestor is not None and method != "linear":
        found |= {"base_model": plan.ancestor.location}
        found["parameters"] |= {"lambda": options.get("scale", 1.0)}
    return found


def _same_names(plan: MergePlan) -> bool:
    return all(
        [(piece.start, piece.stop, {(one.tensor, one.start) for one in piece.sources}) for piece in tensor.pieces]
        == [(0, tensor.rows, {(tensor.name, 0)})]
        and len(tensor.pieces[0].sources) == len(plan.donors)
        for tensor in plan.tensors
    )
