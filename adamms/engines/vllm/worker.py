"""What runs inside vLLM's worker processes: merging into the live weights, and counting vision work.

vLLM mixes `MergeExtension` into its worker class (`worker_extension_cls`); its methods are called by
`LLM.collective_rpc`. With tensor parallelism every rank merges some of the tensors, sends them to
the others, and vLLM's loader takes its shard of each.
"""

import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any

import torch
from torch import Tensor

from adamms.checkpoint import Checkpoint
from adamms.engines.digest import WeightsDigest
from adamms.engines.live_merge import KnownStatistics, LiveMerge, Ranks
from adamms.engines.originals import nearby_originals
from adamms.engines.peak import PeakMemory, take_peak
from adamms.mapping.plan import MergePlan, TensorPlan
from adamms.mapping.stage import stage
from adamms.merging import Originals
from adamms.merging.recipe import Recipe

FUSED = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))  # what vLLM fuses in every model


class MergeExtension:
    """Attributes are prefixed, since they live among those of vLLM's worker."""

    model_runner: Any
    device: torch.device

    def adamms_adopt(self, plan: MergePlan) -> None:
        """Opens the originals; called before the first move, and when another donor takes over."""
        base, model = stage(plan.base), self.model_runner.get_model()
        mapping = getattr(model, "packed_modules_mapping", None) or {}
        groups = [*FUSED, *map(tuple, mapping.values())]
        before = getattr(self, "_adamms_tensors", ())  # what moves have changed becomes the base's own again
        touched = {tensor.name for tensor in (*plan.merged, *before)}
        by_name = {tensor.name: tensor for tensor in plan.tensors}
        self._adamms_tensors = [by_name[name] for name in names_to_load(list(base.tensors), touched, groups)]
        self._adamms_plan, self._adamms_known = plan, KnownStatistics()
        self._adamms_originals: Originals | None = None  # before the others come: both may not fit
        self._adamms_originals = nearby_originals(plan, _ranks().own(self._adamms_tensors), self.device)
        if not before:
            self._adamms_encoded = 0
            _count_images(model, self)
            self._adamms_take_changed(base, groups)

    def adamms_move(self, recipe: Recipe) -> str:
        """Merges into the live weights through vLLM's own loader; gives the digest of what was merged.

        The encoder cache stays, as the vision tower does not change; the engine resets the prefix cache.
        """
        from adamms.checkpoint.dtypes import TORCH_DTYPES

        def fresh(tensor: TensorPlan) -> Tensor:  # never used again: the loader holds it until its module is complete
            return torch.empty(prod(tensor.shape), dtype=TORCH_DTYPES[tensor.dtype], device=self.device)

        assert self._adamms_originals is not None
        originals, known = self._adamms_originals, self._adamms_known
        merge = LiveMerge(self._adamms_plan, originals, recipe, self.device, _ranks(), known)
        self._adamms_load((tensor.name, weight) for tensor, weight in merge.into(self._adamms_tensors, fresh))
        return merge.digest()

    def _adamms_take_changed(self, base: Checkpoint, groups: Sequence[Sequence[str]]) -> None:
        """Loads the tensors of the base that are not what its files hold; every rank reads all of them."""
        names = names_to_load(list(base.tensors), base.changed, groups)
        whole = ((name, base.read(name).view(base.tensors[name].shape).to(self.device)) for name in names)
        if names:
            self._adamms_load(whole)

    def _adamms_load(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Through vLLM's own loader, which cuts, fuses and packs them as when the model was loaded."""
        from vllm.model_executor.model_loader.reload.inplace import reload_weights

        model = self.model_runner.get_model()
        with _experts_packed_anew(model, self.device):
            reload_weights(self.model_runner.vllm_config, model, weights, None, is_checkpoint_format=True)
        _repack_tied_head(model, self.device)

    def adamms_encoded_images(self) -> int:
        """How many images went through the vision tower so far."""
        return self._adamms_encoded

    def adamms_take_peak(self) -> tuple[int, PeakMemory]:
        """This process and the most memory that it had since this was asked last."""
        return os.getpid(), take_peak(self.device)

    def adamms_live_digest(self) -> str:
        """A digest of the live parameters themselves, in this engine's own layout."""
        digest = WeightsDigest()
        for name, parameter in self.model_runner.get_model().named_parameters():
            if parameter.numel():
                digest.add(name, parameter.detach().to(torch.float32))
        return digest.hex()


def _ranks() -> Ranks:
    """The ranks of tensor parallelism. Bytes are sent: not every transport knows every dtype."""
    from vllm.distributed.parallel_state import get_tp_group

    group = get_tp_group()
    return Ranks(
        group.rank_in_group, group.world_size, lambda tensor, source: group.broadcast(tensor.view(torch.uint8), source)
    )


def names_to_load(names: Sequence[str], touched: Collection[str], groups: Sequence[Sequence[str]]) -> list[str]:
    """The tensors to load so that every live module with a touched tensor is loaded whole, module by module.

    vLLM loads a module's tensors into fresh memory and takes it over when all are there: a lone q_proj would
    leave garbage in the rest of qkv_proj.
    """
    modules: dict[str, list[str]] = {}
    for name in names:
        modules.setdefault(_live_module(name, groups), []).append(name)
    chosen = dict.fromkeys(_live_module(name, groups) for name in names if name in touched)
    return [name for module in chosen for name in modules[module]]


def _live_module(name: str, groups: Sequence[Sequence[str]]) -> str:
    """The module that a checkpoint tensor becomes part of: its own, the one its fused group makes, or the one of all
    experts of a layer, whether the checkpoint has them stacked or one by one."""
    experts = re.match(r"(.*\bexperts)\b", name)
    if experts:
        return experts[1]
    module = name.rpartition(".")[0]
    parent, _, own = module.rpartition(".")
    fused = next((group for group in groups if own in group), None)
    return module if fused is None else f"{parent}.({'+'.join(fused)})"


def _count_images(model: Any, extension: Any) -> None:
    """Counts, from now on, the images given to the model's vision tower."""
    encode = getattr(model, "embed_multimodal", None)
    if encode is None:
        return

    def counting(**inputs: Any) -> Any:
        embeddings = encode(**inputs)
        extension._adamms_encoded += len(embeddings)
        return embeddings

    model.embed_multimodal = counting


@contextmanager
def _experts_packed_anew(model: Any, device: torch.device) -> Iterator[None]:
    """On a CPU vLLM packs a layer's experts only when it makes their kernel, so that a reload alone leaves them
    unpacked: within this block no layer has a kernel, and one whose experts are loaded makes another."""
    modules = model.modules() if device.type == "cpu" else ()
    methods: list[Any] = [getattr(module, "quant_method", None) for module in modules]
    kernels = {method: kernel for method in methods if (kernel := getattr(method, "moe_kernel", None)) is not None}
    for method in kernels:
        method.moe_kernel = None
    try:
        yield
    finally:
        for method, kernel in kernels.items():
            method.moe_kernel = method.moe_kernel or kernel


def _repack_tied_head(model: Any, device: torch.device) -> None:
    """On a CPU vLLM computes the head with a packed copy of its weight, which a reload of tied embeddings misses."""
    if device.type != "cpu":
        return
    from vllm.model_executor.layers.vocab_parallel_embedding import VocabParallelEmbedding

    heads = [module for name, module in model.named_modules(remove_duplicate=False) if name.endswith("lm_head")]
    for head in heads:
        if isinstance(head, VocabParallelEmbedding):
            head.quant_method.process_weights_after_loading(head)
