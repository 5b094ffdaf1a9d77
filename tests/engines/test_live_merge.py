"""Merging into live memory: bits, order, dtype, threads."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import prod
from pathlib import Path

import pytest
import torch

from adamms.engines import live_merge
from adamms.engines.live_merge import KnownStatistics, LiveMerge, Ranks
from adamms.engines.originals import nearby_originals
from adamms.mapping import plan_pair
from adamms.mapping.config import MappingConfig, PairSettings
from adamms.mapping.plan import MergePlan, Piece
from adamms.merging import Originals, Recipe, gather_statistics
from adamms.merging.executor import set_torch_threads
from adamms.merging.methods import METHODS, coefficients
from adamms.merging.to_disk import merge_to_disk
from tests.merging.conftest import Models, make_models, save_family
from tests.merging.test_to_disk import weights
from tests.support.merged import merged_tensor

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return make_models(tmp_path_factory.mktemp("models"), shards=2)


def _without_8_rows(piece: Piece) -> Piece:
    sources = tuple(replace(source, start=8) for source in piece.sources)
    return replace(piece, start=8, sources=sources, ancestor_start=8)


def whole_plan(models: Models) -> MergePlan:
    """Some rows of a matrix stay the base's."""
    plan = models.plan()
    cut = (
        replace(tensor, pieces=(_without_8_rows(tensor.pieces[0]),)) if "gate_proj" in tensor.name else tensor
        for tensor in plan.tensors
    )
    return replace(plan, tensors=tuple(cut))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_bits_and_digest_do_not_depend_on_threads_blocks_or_the_live_dtype(
    method: str, dtype: torch.dtype, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, recipe = whole_plan(models), Recipe(method, 0.3)
    checkpoints = Originals(models.base, (models.donor,), models.ancestor)
    statistics = gather_statistics(plan, checkpoints, recipe)
    wanted = {tensor.name: merged_tensor(tensor, checkpoints, recipe, statistics) for tensor in plan.tensors}
    digests = set()
    for threads, block, ahead in ((1, 1 << 21, 1 << 27), (3, 1 << 21, 4000), (3, 256, 4000)):
        monkeypatch.setattr(live_merge, "BLOCK_ELEMENTS", block)
        monkeypatch.setattr(live_merge, "CHUNK_ELEMENTS", min(block, 1 << 17))
        monkeypatch.setattr(live_merge, "AHEAD_BYTES", ahead)
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        originals = nearby_originals(plan, plan.tensors, CPU)
        merge = LiveMerge(plan, originals, recipe, CPU)
        names = []
        for tensor, weight in merge.into(plan.tensors, lambda tensor: torch.empty(prod(tensor.shape), dtype=dtype)):
            assert weight.equal(wanted[tensor.name].to(dtype)), tensor.name
            names.append(tensor.name)
        assert names == [tensor.name for tensor in plan.tensors]
        digests.add(merge.digest())
    assert len(digests) == 1


def test_what_is_not_merged_is_not_in_the_digest(models: Models) -> None:
    plan = models.plan()
    originals = nearby_originals(plan, plan.tensors, CPU)
    digests = set()
    for tensors in (plan.tensors, plan.merged):
        merge = LiveMerge(plan, originals, Recipe(alpha=0.3), CPU)
        for _ in merge.into(tensors, lambda tensor: torch.empty(prod(tensor.shape), dtype=torch.bfloat16)):
            pass
        digests.add(merge.digest())
    assert len(digests) == 1


def test_torch_itself_is_not_split_over_threads_meanwhile(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its barriers are what made moves slow beside other processes; and only so much is computed ahead."""
    monkeypatch.setattr(live_merge, "AHEAD_BYTES", 4000)
    plan, before, seen, given = models.plan(), torch.get_num_threads(), set(), []
    set_torch_threads(2)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)  # as vLLM's CPU worker does
    merge_cut = live_merge.merge_cut

    def watched(*arguments):
        seen.add((torch.get_num_threads(), threading.current_thread() is threading.main_thread()))
        return merge_cut(*arguments)

    def target(tensor):
        given.append(tensor)
        return torch.empty(prod(tensor.shape), dtype=torch.bfloat16)

    monkeypatch.setattr(live_merge, "merge_cut", watched)
    merge = LiveMerge(plan, nearby_originals(plan, (), CPU), Recipe(alpha=0.3), CPU)
    most = 0
    for taken, _ in enumerate(merge.into(plan.merged, target)):
        assert torch.get_num_threads() == 1
        most = max(most, sum(2 * prod(tensor.shape) for tensor in given[taken:]))
    largest = max(2 * prod(tensor.shape) for tensor in plan.merged)
    assert most <= 2 * (4000 + largest) < sum(2 * prod(tensor.shape) for tensor in plan.merged)
    assert seen == {(1, False)}
    assert torch.get_num_threads() == 2
    set_torch_threads(before)


class Wires:
    """Sends tensors between threads that stand for ranks; waits for what has not been sent yet."""

    def __init__(self, count: int) -> None:
        self.queues = {(a, b): queue.Queue() for a in range(count) for b in range(count)}
        self.count = count

    def rank(self, index: int) -> Ranks:
        def broadcast(tensor: torch.Tensor, source: int) -> None:
            if source == index:
                for other in set(range(self.count)) - {index}:
                    self.queues[index, other].put(tensor.clone())
            else:
                tensor.copy_(self.queues[source, index].get(timeout=60))

        return Ranks(index, self.count, broadcast)


class Counting:
    """A source that remembers what was read of it, and how much."""

    def __init__(self, source) -> None:
        self.source, self.names, self.elements = source, set(), 0

    def read(self, name, start=0, stop=None):
        self.names.add(name)
        found = self.source.read(name, start, stop)
        self.elements += len(found)
        return found


@pytest.mark.parametrize("method", ["linear", "ties", "slerp"])
def test_ranks_merge_each_its_own_and_have_the_same(
    method: str, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_merge, "AHEAD_BYTES", 4000)
    plan, recipe = whole_plan(models), Recipe(method, 0.3)

    def merged(ranks: Ranks) -> tuple[str, dict[str, torch.Tensor], set[str]]:
        own = nearby_originals(plan, ranks.own(plan.tensors), CPU)
        donor = Counting(own.donors[0])
        merge = LiveMerge(plan, replace(own, donors=(donor,)), recipe, CPU, ranks)
        weights = merge.into(plan.tensors, lambda tensor: torch.empty(prod(tensor.shape), dtype=torch.bfloat16))
        found = {tensor.name: weight for tensor, weight in weights}
        return merge.digest(), found, donor.names

    digest, wanted, read = merged(live_merge.ALONE)
    wires = Wires(3)
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(merged, [wires.rank(index) for index in range(3)]))
    for other, found, _ in results:
        assert other == digest
        assert all(found[name].equal(weight) for name, weight in wanted.items())
    if method == "linear":
        assert set.union(*(names for _, _, names in results)) == read
        assert sum(len(names) for _, _, names in results) == len(read)


def test_ranks_share_the_work_evenly(models: Models) -> None:
    plan = models.plan()
    loads = [sum(2 * prod(tensor.shape) for tensor in Ranks(index, 4).own(plan.tensors)) for index in range(4)]
    assert max(loads) - min(loads) <= max(2 * prod(tensor.shape) for tensor in plan.tensors)


def test_an_error_in_a_thread_ends_the_move(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_):
        raise OSError("disk gone")

    monkeypatch.setattr(live_merge, "merge_cut", broken)
    plan = models.plan()
    merge = LiveMerge(plan, nearby_originals(plan, (), CPU), Recipe(alpha=0.3), CPU)
    with pytest.raises(OSError, match="disk gone"):
        list(merge.into(plan.merged, lambda tensor: torch.empty(prod(tensor.shape), dtype=torch.bfloat16)))


def test_several_donors_in_place_are_those_on_disk_and_one_of_weight_0_is_as_if_not_there(tmp_path: Path) -> None:
    """Whatever stood there before: also rows that only the other donor merges into are the base's own again."""
    family = save_family(tmp_path)
    mapping = MappingConfig(embeddings="align")
    both = plan_pair(PairSettings(family["base"], donors=(family["small"], family["text"]), mapping=mapping))
    alone = plan_pair(PairSettings(family["base"], donor=family["small"], mapping=mapping))

    def moved(plan: MergePlan, recipe: Recipe, live: dict[str, torch.Tensor]) -> str:
        merge = LiveMerge(plan, nearby_originals(plan, plan.merged, CPU), recipe, CPU)
        list(merge.into(plan.merged, lambda tensor: live[tensor.name]))
        return merge.digest()

    live = {t.name: torch.empty(prod(t.shape), dtype=torch.bfloat16) for t in both.plan.merged}
    own = {t.name: torch.empty(prod(t.shape), dtype=torch.bfloat16) for t in alone.plan.merged}
    mixed = moved(both.plan, Recipe(alpha=(0.2, 0.3)), live)
    written = weights(merge_to_disk(both, Recipe(alpha=(0.2, 0.3)), tmp_path / "out"))
    assert all(torch.equal(written[name].flatten(), value) for name, value in live.items())
    digest = moved(both.plan, Recipe(alpha=(0.4, 0.0)), live)
    assert digest == moved(alone.plan, Recipe(alpha=0.4), own) != mixed
    for name, value in live.items():
        assert torch.equal(value, own.get(name, both.base.read(name)))
    assert moved(both.plan, Recipe(alpha=(0.2, 0.3)), live) == mixed


@pytest.mark.parametrize("method", [name for name, one in METHODS.items() if one.rounds])
def test_another_alpha_reads_the_weights_once(method: str, models: Models) -> None:
    """What the method knows of them stays, and is what it would find anew."""
    plan, known = whole_plan(models), KnownStatistics()
    near = nearby_originals(plan, (), CPU)
    elements = sum((piece.stop - piece.start) * tensor.row for tensor in plan.merged for piece in tensor.pieces)

    def moved(recipe: Recipe, known: KnownStatistics | None = None) -> tuple[str, int]:
        """The digest, and how many times all weights of the donor were read."""
        donor = Counting(near.donors[0])
        merge = LiveMerge(plan, replace(near, donors=(donor,)), recipe, CPU, known=known)
        list(merge.into(plan.merged, lambda tensor: torch.empty(prod(tensor.shape), dtype=torch.bfloat16)))
        return merge.digest(), donor.elements // elements

    rounds = METHODS[method].rounds
    assert moved(Recipe(method, 0.3), known)[1] == 1 + rounds
    for alpha in (0.6, 0.0, 1.0, 0.3):
        digest, times = moved(Recipe(method, alpha), known)
        assert times <= 1  # slerp needs no weights of the donor at 0
        assert digest == moved(Recipe(method, alpha))[0]
    for name, other in {"density": 0.4, "epsilon": 0.05, "gamma": 0.2}.items():
        if name in coefficients(METHODS[method]):
            changed = Recipe(method, 0.3, **{name: other})
            assert moved(changed, known) == moved(changed) != moved(Recipe(method, 0.3), known)


def test_statistics_of_other_donors_are_others(tmp_path: Path) -> None:
    """Of weights with a 0 among them; after them, those of all donors are still known."""
    family, recipes = save_family(tmp_path), [Recipe("ties", (0.2, 0.3)), Recipe("ties", (0.4, 0.0))]
    names, known = (family["text"], family["onevision"]), KnownStatistics()
    plan = plan_pair(PairSettings(family["base"], donors=names, ancestor=family["ancestor"])).plan
    near = nearby_originals(plan, (), CPU)

    def moved(recipe: Recipe, known: KnownStatistics | None = None) -> str:
        merge = LiveMerge(plan, near, recipe, CPU, known=known)
        list(merge.into(plan.merged, lambda tensor: torch.empty(prod(tensor.shape), dtype=torch.bfloat16)))
        return merge.digest()

    alone = [moved(recipe) for recipe in recipes]
    assert alone[0] != alone[1]
    for recipe, wanted in [*zip(recipes, alone, strict=True)] * 2:
        assert moved(recipe, known) == wanted
