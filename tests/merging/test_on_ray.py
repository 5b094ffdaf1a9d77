"""Ray tasks: the same bits as threads and memory, through killed workers, without tensors in the driver."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import threading
import time
from functools import partial
from pathlib import Path

import pytest
import torch

from adamms.checkpoint import open_checkpoint
from adamms.errors import UserError
from adamms.mapping import plan_pair
from adamms.mapping.config import MappingConfig, PairSettings
from adamms.merging import Recipe
from adamms.merging.config import MergingConfig
from adamms.merging.on_ray import run_on_ray
from adamms.merging.to_disk import merge_to_disk
from adamms.support.ray_session import RayConfig
from tests.merging.conftest import Models, make_models, save_family
from tests.merging.test_to_disk import assert_same, in_memory, merge, weights
from tests.support.adapters import write_adapter

CONFIG = MergingConfig(backend="ray", max_shard_size="8KB")


@pytest.fixture(scope="module")
def two_nodes():
    """A cluster of two machines on this one, in which the driver has no CPU."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.mark.parametrize("method", ["linear", "slerp", "ties", "metagpt", "dare_ties"])
def test_the_same_bits_as_in_memory(method, two_nodes, models: Models, tmp_path):
    recipe = Recipe(method, 0.3)
    output = merge(models, tmp_path / "out", recipe, CONFIG)
    assert len(list(output.glob("*.safetensors"))) > 3
    assert_same(weights(output), in_memory(models, recipe))


@pytest.mark.parametrize("method", ["linear", "ties", "dare_ties"])
def test_several_donors_merge_to_the_same_bits(method, two_nodes, tmp_path):
    family = save_family(tmp_path / "family")
    models = tuple(family[name] for name in ("onevision", "text", "small"))
    mapping = MappingConfig(embeddings="align")
    settings = PairSettings(family["base"], donors=models, ancestor=family["ancestor"], mapping=mapping)
    pair, recipe = plan_pair(settings), Recipe(method, (0.3, 0.2, 0.1))
    on_ray, on_threads = (
        weights(merge_to_disk(pair, recipe, tmp_path / name, config=config))
        for name, config in {"ray": CONFIG, "threads": MergingConfig()}.items()
    )
    assert_same(on_ray, on_threads)


def test_models_with_adapters(two_nodes, models: Models, tmp_path):
    module = "model.layers.0.mlp.up_proj"
    factors = {f"{module}.lora_A.weight": torch.full((2, 32), 0.1), f"{module}.lora_B.weight": torch.full((48, 2), 0.2)}
    adapter, recipe = write_adapter(tmp_path / "adapter", factors), Recipe("linear", 0.3)
    adapted = Models(open_checkpoint(f"{models.base.folder}+{adapter}"), models.donor, models.ancestor)
    found = weights(merge(adapted, tmp_path / "out", recipe, CONFIG))
    assert_same(found, in_memory(adapted, recipe))
    plain = in_memory(models, recipe)
    assert [name for name in found if not torch.equal(found[name], plain[name])] == [f"{module}.weight"]


def test_tasks_run_on_both_nodes(two_nodes):
    with run_on_ray(MergingConfig(), RayConfig()) as run:
        nodes = list(run(_node, [[0.5]] * 8))
    assert len(set(nodes)) == 2


def test_a_task_whose_worker_dies_is_run_again(two_nodes, tmp_path):
    with run_on_ray(MergingConfig(), RayConfig()) as run:
        assert list(run(partial(_die_once, tmp_path), [[1, 2], [3]])) == [1, 2, 3]
    assert len(list(tmp_path.iterdir())) == 3


def test_results_are_in_order_and_after_is_applied_in_the_task(two_nodes):
    with run_on_ray(MergingConfig(), RayConfig()) as run:
        assert list(run(_slow_square, [[3, 1], [2], [0]], _sum)) == [10, 4, 0]


def test_what_the_user_can_mend_comes_as_one_line(two_nodes, models, tmp_path):
    with run_on_ray(MergingConfig(), RayConfig()) as run, pytest.raises(UserError, match=r"^no good$"):
        list(run(_refuse, [[1]]))
    with pytest.raises(UserError, match=r"no machine of the Ray cluster has 1 CPUs and 2 GPUs"):
        merge(models, tmp_path / "out", Recipe("linear", 0.3), MergingConfig(backend="ray", gpus_per_task=2))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("gone", ["base", "donor"])
def test_weights_that_a_machine_cannot_see_are_one_line(gone, two_nodes, tmp_path):
    """A model that lies on the driver's own disk: its headers are known there, its weights are nowhere else."""
    models = make_models(tmp_path / "m")
    path = getattr(models, gone).folder / "model.safetensors"
    models.plan(False)  # takes the digests, which are samples of the weights
    path.unlink()
    with pytest.raises(UserError, match=rf"^{path}: cannot be seen from a machine of the Ray cluster; .* share$"):
        merge(models, tmp_path / "out", Recipe("linear", 0.3), CONFIG)
    assert [place.name for place in tmp_path.iterdir()] == ["m"]


@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_killed_workers_do_no_harm(kills, two_nodes, models, tmp_path):
    """Workers are killed at random moments all through some merges."""
    wanted = in_memory(models, Recipe("linear", 0.3))
    begun = time.monotonic()
    merge(models, tmp_path / "undisturbed", Recipe("linear", 0.3), CONFIG)
    longest = max(4, 2 * (time.monotonic() - begun))  # on a busy machine a worker needs longer before it does something
    killed: list[int] = []
    enough = threading.Event()
    killer = threading.Thread(target=_kill_workers, args=(kills, longest, killed, enough))
    killer.start()
    merges = 0
    try:
        while killer.is_alive():
            output = merge(models, tmp_path / f"{merges}", Recipe("linear", 0.3), CONFIG)
            assert_same(weights(output), wanted)
            merges += 1
    finally:
        enough.set()
        killer.join()
    assert len(killed) == kills
    assert {path.name for path in tmp_path.iterdir()} == {"undisturbed", *map(str, range(merges))}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_at_half_a_billion_parameters_a_killed_task_and_a_lost_machine_do_no_harm(two_nodes, real_pair, tmp_path):
    """Its plan is too large to travel with a task, so it lies in Ray's object store."""
    pair, recipe = plan_pair(PairSettings(*map(str, real_pair))), Recipe("linear", 0.3)
    here = merge_to_disk(pair, recipe, tmp_path / "here", config=MergingConfig(workers=2, max_shard_size="200MB"))
    done = []
    config = MergingConfig(backend="ray", max_shard_size="200MB")
    merging = threading.Thread(target=lambda: done.append(merge_to_disk(pair, recipe, tmp_path / "ray", config=config)))
    merging.start()
    while not (working := _workers_of(os.getpid())):
        time.sleep(0.01)
    os.kill(working[0], signal.SIGKILL)
    time.sleep(1)
    assert merging.is_alive()
    two_nodes.remove_node(min(two_nodes.worker_nodes, key=str), allow_graceful=False)
    merging.join()
    two_nodes.add_node(num_cpus=1)
    assert _hashes(done[0]) == _hashes(here)


def _hashes(folder):
    return {path.name: hashlib.file_digest(path.open("rb"), "sha256").hexdigest() for path in folder.glob("*.saf*")}


def _kill_workers(kills, longest, killed, enough):
    """Only workers that are this test process's own Ray's. Pauses are long enough for a new one to import torch: who
    kills a task's workers faster than they start uses up its retries."""
    moments = random.Random(0)
    while len(killed) < kills:
        time.sleep(moments.uniform(0, longest))
        working = []
        while not working and not enough.is_set():
            working = _workers_of(os.getpid())
        if enough.is_set():
            return
        time.sleep(moments.uniform(0, 0.1))
        victim = moments.choice(working)
        os.kill(victim, signal.SIGKILL)
        killed.append(victim)


def _workers_of(parent):
    """Descendants that execute our tasks."""
    children = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, pending = [], [parent]
    while pending:
        for child in children.get(pending.pop(), []):
            pending.append(child)
            try:
                if Path(f"/proc/{child}/cmdline").read_bytes().startswith(b"ray::_run_group"):
                    found.append(child)
            except OSError:
                continue
    return found


def _node(seconds):
    import ray

    time.sleep(seconds)
    return ray.get_runtime_context().get_node_id()


def _die_once(folder, item):
    mark = folder / f"{item}"
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def _slow_square(x):
    time.sleep(x / 10)
    return x * x


def _sum(results):
    return [sum(results)]


def _refuse(_):
    raise UserError("no good")
