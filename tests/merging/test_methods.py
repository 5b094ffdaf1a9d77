"""Every method equals an independent implementation (reference.py), whatever the dtype, chunks and corner cases."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from adamms.errors import UserError
from adamms.mapping import MergePlan, ModelIdentity, Piece, Source, TensorPlan
from adamms.mapping.rows import rows_of
from adamms.merging import Originals, Recipe, gather_statistics
from adamms.merging.methods import METHODS
from tests.support import reference
from tests.support.merged import merged_tensor

DTYPES = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}
NAME = "w"


class Memory(dict):
    """Tensors in memory as a source."""

    def read(self, name, start=0, stop=None):
        return self[name].reshape(-1)[start:stop]


def plan_of(*tensors):
    model = ModelIdentity("m", "a", "l", "d")
    return MergePlan(model, (model,), model, tuple(tensors))


def setting(shape, dtype, kind="random"):
    """Base, donor and ancestor with one tensor, as sources."""
    g = torch.Generator().manual_seed(3)
    a = torch.randn(shape, generator=g)
    noise = [torch.randn(shape, generator=g) * 0.1 for _ in range(2)]
    if kind == "ties":  # few magnitudes, many of them equal, some zero, signs that cancel
        noise = [torch.randint(-2, 3, shape, generator=g) * 0.25 for _ in range(2)]
        a = torch.randint(-4, 5, shape, generator=g).float()
    if kind == "zeros":
        a, noise = torch.zeros(shape), [torch.zeros(shape)] * 2
    if kind == "negative zero":
        a, noise = -torch.zeros(shape), [-torch.zeros(shape)] * 2
    if kind == "same":
        noise = [noise[0]] * 2
    if kind == "untouched donor":
        noise[1] = torch.zeros(shape)
    stored = [value.to(DTYPES[dtype]) for value in (a + noise[0], a + noise[1], a)]
    tensor = TensorPlan(NAME, dtype, tuple(shape), "w", (whole_piece(rows_of(tuple(shape)), NAME),))
    base, donor, ancestor = (Memory({NAME: value}) for value in stored)
    return tensor, Originals(base, (donor,), ancestor)


def whole_piece(rows, name):
    """All rows of a tensor, of the same name in all models."""
    return Piece(0, rows, (Source(name, 0),), name, 0)


def merged(recipe, tensor, originals):
    statistics = gather_statistics(plan_of(tensor), originals, recipe)
    return merged_tensor(tensor, originals, recipe, statistics)


def expected(method, alpha, coefficients, originals):
    b, d, a = (np.asarray(m[NAME].float()) for m in (originals.base, *originals.donors, originals.ancestor))
    c = dict(coefficients)
    match method:
        case "linear" | "slerp":
            return getattr(reference, method)(b, d, alpha)
        case "ties":
            density, _ = c.pop("density"), c.pop("trim_over", None)
            limits = [reference.kept_from(reference.tau(x, a), density) for x in (b, d)]
            return reference.ties(b, d, a, alpha, limits, **c)
        case "dare_linear" | "dare_ties" | "della":
            return getattr(reference, method)(b, d, a, alpha, name=NAME, **c)
        case "metagpt":
            weight = reference.metagpt_weight([(reference.tau(b, a), reference.tau(d, a))])
            return reference.task_arithmetic(b, d, a, weight, **c)
        case "model_stock":
            return reference.model_stock(b, d, a)
    return getattr(reference, method)(b, d, a, alpha, **c)


CASES = [
    ("linear", {}),
    ("slerp", {}),
    ("task_arithmetic", {"scale": 0.7}),
    *(("ties", {"density": x, "trim_over": over}) for x in (0.0, 0.3, 1.0) for over in ("model", "tensor")),
    *(("dare_linear", {"density": x, "seed": 5}) for x in (0.0, 0.4, 1.0)),
    *(("dare_ties", {"density": x, "seed": 5}) for x in (0.0, 0.4, 1.0)),
    *(("della", {"density": x, "epsilon": 0.2, "seed": 5}) for x in (0.0, 0.4, 1.0)),
    *(("breadcrumbs", {"density": x, "gamma": 0.05}) for x in (0.0, 0.4, 1.0)),
    ("breadcrumbs", {"density": 0.5, "gamma": 1.0}),
    ("metagpt", {"scale": 1.2}),
    ("model_stock", {}),
]
KINDS = ("random", "ties", "zeros", "negative zero", "same", "untouched donor")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("method", "coefficients"), CASES)
def test_equals_the_independent_implementation(method, coefficients, kind):
    for alpha, shape in ((0.0, (8, 12)), (0.3, (37,)), (0.5, (8, 12)), (0.6, (3, 2, 5)), (1.0, (8, 12))):
        tensor, originals = setting(shape, "F32", kind)
        found = merged(Recipe(method, alpha, **coefficients), tensor, originals)
        wanted = expected(method, alpha, coefficients, originals)
        np.testing.assert_allclose(found.numpy(), wanted, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("method", "coefficients"), CASES)
def test_is_rounded_once_to_the_bases_dtype(method, coefficients, dtype):
    tensor, originals = setting((8, 12), dtype)
    found = merged(Recipe(method, 0.3, **coefficients), tensor, originals)
    assert found.dtype == DTYPES[dtype]
    wanted = torch.from_numpy(expected(method, 0.3, coefficients, originals))
    step = torch.finfo(DTYPES[dtype]).eps / 2  # half a unit in the last place, and float32's own error
    assert ((found.double() - wanted).abs() <= wanted.abs() * step * 1.01 + 2e-6).all()


@pytest.mark.parametrize(("method", "coefficients"), CASES)
@pytest.mark.parametrize("shape", [(0,), (0, 4), (1,), (1, 1)])
def test_empty_and_single_elements(method, coefficients, shape):
    tensor, originals = setting(shape, "BF16")
    found = merged(Recipe(method, 0.3, **coefficients), tensor, originals)
    assert found.shape == shape
    assert found.isfinite().all()


@pytest.mark.parametrize(("method", "coefficients"), CASES)
def test_chunks_and_pieces_change_nothing(method, coefficients):
    """Whole, in chunks of 7 elements, and cut into pieces: the same bits."""
    tensor, originals = setting((16, 12), "BF16")
    recipe = Recipe(method, 0.3, **coefficients)
    statistics = gather_statistics(plan_of(tensor), originals, recipe)
    whole = merged_tensor(tensor, originals, recipe, statistics).flatten()
    pieces = tuple(Piece(i, i + 4, (Source(NAME, i),), NAME, i) for i in range(0, 16, 4))
    cut = TensorPlan(NAME, "BF16", (16, 12), "w", pieces)
    for plan in (tensor, cut):
        assert torch.equal(merged_tensor(plan, originals, recipe, statistics, chunk=7, block=29).flatten(), whole)


@pytest.mark.parametrize("method", METHODS)
def test_originals_are_not_changed(method):
    tensor, originals = setting((8, 12), "F32")
    before = [m[NAME].clone() for m in (originals.base, originals.donors[0], originals.ancestor)]
    merged(Recipe(method, 0.3), tensor, originals)
    after = [m[NAME] for m in (originals.base, originals.donors[0], originals.ancestor)]
    assert all(torch.equal(x, y) for x, y in zip(before, after, strict=True))


@pytest.mark.parametrize("method", ["linear", "slerp"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_ends_are_the_models_to_the_bit(method, dtype):
    tensor, originals = setting((4, 6), dtype)
    for values in (originals.base[NAME], originals.donors[0][NAME]):
        values[0, :3] = torch.tensor([-0.0, float("nan"), float("inf")])
    for alpha, model in ((0.0, originals.base), (1.0, originals.donors[0])):
        found = merged(Recipe(method, alpha), tensor, originals)
        assert torch.equal(found.view(torch.uint8), model[NAME].view(torch.uint8))


def test_linear_is_task_arithmetic_with_scale_1():
    tensor, originals = setting((8, 12), "F32")
    for alpha in (0.1, 0.5, 0.9):
        found = [merged(Recipe(method, alpha), tensor, originals) for method in ("linear", "task_arithmetic")]
        torch.testing.assert_close(*found)


def test_equal_weights_stay_to_the_bit_with_linear():
    tensor, originals = setting((64, 64), "BF16", "same")
    for alpha in torch.linspace(0, 1, 23).tolist():
        assert torch.equal(merged(Recipe("linear", alpha), tensor, originals), originals.base[NAME])


def test_other_dtype_of_the_donor():
    tensor, originals = setting((8, 12), "BF16")
    originals.donors[0][NAME] = originals.donors[0][NAME].to(torch.float16)
    found = merged(Recipe("linear", 1.0), tensor, originals)
    assert torch.equal(found, originals.donors[0][NAME].to(torch.bfloat16))


def model_setting():
    """Three tensors of different size and spread; one fused from two donor tensors."""
    g = torch.Generator().manual_seed(1)
    ancestor = Memory({n: torch.randn(s, generator=g) for n, s in (("a", (40, 8)), ("b", (30,)), ("c", (9, 8)))})
    base = Memory({n: v + torch.randn(v.shape, generator=g) * 0.1 for n, v in ancestor.items()})
    donor = Memory({n: v + torch.randn(v.shape, generator=g) * 0.3 for n, v in ancestor.items()})
    donor["a1"], donor["a2"] = donor["a"][:25].clone(), donor.pop("a")[25:].clone()
    pieces = (Piece(0, 25, (Source("a1", 0),), "a", 0), Piece(25, 40, (Source("a2", 0),), "a", 25))
    tensors = [
        TensorPlan("a", "F32", (40, 8), "a", pieces),
        TensorPlan("b", "F32", (30,), "b", (whole_piece(30, "b"),)),
        TensorPlan("c", "F32", (9, 8), "c", (whole_piece(9, "c"),)),
    ]
    whole = {"a": torch.cat([donor["a1"], donor["a2"]]), "b": donor["b"], "c": donor["c"]}
    return plan_of(*tensors), Originals(base, (donor,), ancestor), whole


def task_vectors(originals, whole):
    for name, a in originals.ancestor.items():
        yield tuple(reference.tau(np.asarray(x), np.asarray(a)) for x in (originals.base[name], whole[name]))


@pytest.mark.parametrize("density", [0.0, 0.013, 0.2, 0.999, 1.0])
def test_ties_over_the_whole_model_equals_sorting_all_of_it(density):
    plan, originals, whole = model_setting()
    flat = [np.concatenate([t.ravel() for t in one]) for one in zip(*task_vectors(originals, whole), strict=True)]
    found = gather_statistics(plan, originals, Recipe("ties", 0.5, density=density)).model
    assert found == tuple(reference.kept_from(t, density) for t in flat)


def test_metagpt_norms_are_of_the_whole_model():
    plan, originals, whole = model_setting()
    wanted = reference.metagpt_weight(list(task_vectors(originals, whole)))
    assert gather_statistics(plan, originals, Recipe("metagpt")).model == (pytest.approx(wanted, rel=1e-6),)


def test_a_part_is_what_comes_from_one_donor_tensor():
    plan, originals, _whole = model_setting()
    parts = gather_statistics(plan, originals, Recipe("ties", 0.5, density=0.2, trim_over="tensor")).parts
    assert list(parts) == [("a", ((0, "a1"),)), ("a", ((0, "a2"),)), ("b", ((0, "b"),)), ("c", ((0, "c"),))]
    ours = reference.tau(np.asarray(originals.base["a"][25:]), np.asarray(originals.ancestor["a"][25:]))
    assert parts["a", ((0, "a2"),)][0] == reference.kept_from(ours, 0.2)


def test_dare_keeps_the_density_and_another_seed_keeps_others():
    tensor, originals = setting((100, 100), "F32")
    kept = []
    for seed in (0, 1):
        found = merged(Recipe("dare_linear", 1.0, density=0.3, seed=seed), tensor, originals)
        kept.append(found != originals.ancestor[NAME])
        assert kept[-1].float().mean() == pytest.approx(0.3, abs=0.02)
    assert 0.05 < (kept[0] & kept[1]).float().mean() < 0.13


def test_a_method_without_its_ancestor_says_so():
    tensor, originals = setting((4, 4), "F32")
    with pytest.raises(UserError, match="--ancestor"):
        merged(Recipe("ties", 0.3), tensor, Originals(originals.base, originals.donors))


@pytest.mark.parametrize("method", sorted(name for name, rule in METHODS.items() if rule.uses_alpha))
def test_a_method_says_whether_alpha_0_leaves_the_base(method):
    tensor, originals = setting((8, 16), "F32")
    recipe = Recipe(method, 0.0)
    found = merged(recipe, tensor, originals).reshape(-1)
    left = torch.allclose(found.float(), originals.base[NAME].reshape(-1), atol=1e-6)
    assert left == recipe.rule.leaves_base
