"""What a search costs: one warm engine that moves from alpha to alpha, against a new engine for every alpha.

    python -m tests.benchmarks.bench_search [--output FILE] [--base DIR --donor DIR --prompts FILE]

Real Ray, real vLLM, 7 alphas x 100 prompts. Without a pair of models a synthetic one is made: a Qwen2-VL of random
weights and a donor that differs from it by noise, so that neighbouring candidates mostly answer alike.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from adamms.checkpoint import open_checkpoint
from adamms.engines.actor import UnitResult
from adamms.engines.config import EngineConfig
from adamms.engines.engine import NO_EFFORT, Effort, EngineSpec
from adamms.engines.pool import InferencePool
from adamms.mapping import PlannedPair, plan_merge
from adamms.mapping.config import MappingConfig
from adamms.merging.candidate import Candidate
from adamms.merging.recipe import Recipe
from adamms.merging.to_disk import merge_to_disk
from adamms.prompts.config import PromptsConfig
from adamms.prompts.prompt import Prompt, load_prompts
from adamms.support.ray_session import ray_session
from tests.benchmarks.machine import machine

ALPHAS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)


def main() -> None:
    options = _options()
    if options.naive:
        _answer_in_a_new_engine(json.loads(options.naive))
        return
    with tempfile.TemporaryDirectory() as scratch:
        base, donor, prompts = options.base, options.donor, options.prompts
        if base is None:
            base, donor, prompts = synthetic_pair(Path(scratch), options.n)
        plan = plan_merge(open_checkpoint(str(base)), open_checkpoint(str(donor)), MappingConfig())
        config = EngineConfig(
            kind="vllm", max_tokens=options.max_tokens, max_model_len=1024, kv_cache_gb=0.5, block_size=50
        )
        spec = EngineSpec(plan, config)
        asked = load_prompts(PromptsConfig(path=str(prompts), n=options.n))
        with ray_session(None):
            runs = {
                "1 actor": search(spec, asked, 1),
                "1 actor, no drafts, no vision reuse": search(_plain(spec), asked, 1),
                "2 actors": search(spec, asked, 2),
            }
        naive = naive_loop(_plain(spec), prompts, options.n, Path(scratch))
        text = report(spec, runs, naive, synthetic=options.base is None)
    print(text)
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(text, encoding="utf-8")


def search(spec: EngineSpec, prompts: Sequence[Prompt], actors: int) -> dict[str, Any]:
    """All candidates' answers through the pool."""
    started, first = time.perf_counter(), 0.0
    results: list[UnitResult] = []
    work = {Candidate(alpha, Recipe(alpha=alpha)): prompts for alpha in ALPHAS}
    with InferencePool(spec, actors) as pool:
        for result in pool.answer(work, spec.config.block_size):
            if not results:
                first = time.perf_counter() - started - result.move_seconds - result.generate_seconds
            results.append(result)
    total = time.perf_counter() - started
    print(f"{actors} actors: {total:.1f} s", file=sys.stderr)
    assert not any(result.error for result in results), results
    return {
        "total": total,
        "start": first,
        "move": sum(result.move_seconds for result in results),
        "generate": sum(result.generate_seconds for result in results),
        "first moves": [result.move_seconds for result in results if result.move_seconds],
        "effort": sum((result.effort for result in results), NO_EFFORT),
        "answers": {(r.candidate.value, answer.prompt_id): answer.tokens for r in results for answer in r.answers},
    }


def naive_loop(spec: EngineSpec, prompts: Path, n: int, scratch: Path) -> dict[str, Any]:
    """For every alpha: write the checkpoint, start a process with a new engine, load it, answer."""
    base, donor = open_checkpoint(spec.plan.base.location), open_checkpoint(spec.plan.donors[0].location)
    times = {"total": 0.0, "write": 0.0, "start": 0.0, "generate": 0.0}
    answers: dict[tuple[float, str], tuple[int, ...]] = {}
    for alpha in ALPHAS:
        started = time.perf_counter()
        folder = merge_to_disk(PlannedPair(spec.plan, base, (donor,)), Recipe(alpha=alpha), scratch / f"naive-{alpha}")
        written = time.perf_counter()
        task = {
            "base": str(folder), "donor": spec.plan.donors[0].location, "prompts": str(prompts), "n": n,
            "engine": {"max_tokens": spec.config.max_tokens, "max_model_len": 1024, "kv_cache_gb": 0.5},
        }  # fmt: skip
        found = answer_in_a_new_process(task)
        ended = time.perf_counter()
        print(f"naive, alpha {alpha}: {ended - started:.1f} s", file=sys.stderr)
        times["total"] += ended - started
        times["write"] += written - started
        times["start"] += ended - written - found["generate"]
        times["generate"] += found["generate"]
        answers.update({(alpha, name): tuple(tokens) for name, tokens in found["answers"].items()})
    return {**times, "answers": answers}


def answer_in_a_new_process(task: Mapping[str, Any]) -> Any:
    """A new engine answers at its base's own weights; gives the seconds of answering and the tokens by prompt."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_search", "--naive", json.dumps(task)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1])


def _answer_in_a_new_engine(task: Mapping[str, Any]) -> None:
    from adamms.engines.vllm.engine import VllmEngine

    plan = plan_merge(open_checkpoint(task["base"]), open_checkpoint(task["donor"]), MappingConfig())
    config = EngineConfig(kind="vllm", drafts=False, **task["engine"])
    prompts = load_prompts(PromptsConfig(path=task["prompts"], n=task["n"]))
    engine = VllmEngine(EngineSpec(plan, config))
    started = time.perf_counter()
    answers = engine.generate(prompts)
    seconds = time.perf_counter() - started
    print(json.dumps({"generate": seconds, "answers": {a.prompt_id: a.tokens for a in answers}}), flush=True)
    os._exit(0)  # without the seconds that vLLM takes to end


def report(spec: EngineSpec, runs: Mapping[str, Any], naive: Mapping[str, Any], synthetic: bool) -> str:
    """The results as Markdown."""
    one = runs["1 actor"]
    prompts = len(one["answers"]) // len(ALPHAS)
    differing = {
        name: sum(run["answers"][k] != naive["answers"][k] for k in naive["answers"]) for name, run in runs.items()
    }
    lines = [
        "# A search, against a new engine for every candidate",
        "",
        f"`python -m tests.benchmarks.bench_search`: {len(ALPHAS)} alphas x {prompts} prompts with images, at most "
        f"{spec.config.max_tokens} tokens; {_model(spec, synthetic)}",
        "",
        f"{machine()}",
        "",
        "| | total s | start s | write s | move s | generate s | decoded tokens | from drafts | images encoded |",
        "|---|---|---|---|---|---|---|---|---|",
        f"| naive loop | {naive['total']:.1f} | {naive['start']:.1f} | {naive['write']:.1f} | | "
        f"{naive['generate']:.1f} | | | |",
    ]
    for name, run in runs.items():
        effort: Effort = run["effort"]
        lines.append(
            f"| {name} | {run['total']:.1f} | {run['start']:.1f} | | {run['move']:.2f} | {run['generate']:.1f} | "
            f"{effort.decoded_tokens} | {effort.drafted_tokens} | {effort.encoded_images} |"
        )
    moves = sorted(one["first moves"])
    share = moves[len(moves) // 2] / (one["generate"] / len(ALPHAS))
    lines += [
        "",
        f"- naive loop / 1 actor: **{naive['total'] / one['total']:.1f}x** (goal 5x); "
        f"/ 2 actors: {naive['total'] / runs['2 actors']['total']:.1f}x",
        f"- a move (median {1000 * moves[len(moves) // 2]:.0f} ms) is **{100 * share:.1f} %** of generating a "
        "candidate's answers (goal 10 %)",
        f"- answers that differ from the naive loop's: {json.dumps(differing)} of {len(naive['answers'])}",
        "- start: the first engine ready and all before it (imports, Ray's process, loading); 'naive' starts a process "
        "a candidate",
    ]
    return "\n".join(lines) + "\n"


def synthetic_pair(folder: Path, n: int) -> tuple[Path, Path, Path]:
    """A base, a donor and a file of prompts."""
    from safetensors.torch import load_file, save_file

    from tests.support import tiny_models

    size = tiny_models.Size(hidden=256, layers=4, intermediate=768, vision=2)
    base = tiny_models.save_qwen2_vl(folder / "base", seed=0, size=size)
    donor = tiny_models.save_qwen2_vl(folder / "donor", seed=1, size=size)
    import torch

    torch.manual_seed(2)
    ours, theirs = load_file(base / "model.safetensors"), load_file(donor / "model.safetensors")
    for name, tensor in ours.items():
        if "visual" not in name:
            spread = tensor.float().std() if tensor.numel() > 1 else torch.tensor(0.0)
            theirs[name] = (tensor.float() + 0.015 * spread * torch.randn(tensor.shape)).to(tensor.dtype)
    save_file(theirs, donor / "model.safetensors", metadata={"format": "pt"})
    prompts = tiny_models.tiny_prompts(n, images=(1, 1, 2), text="What is this? Answer briefly.")
    return base, donor, tiny_models.write_prompts(folder / "prompts.jsonl", prompts)


def _plain(spec: EngineSpec) -> EngineSpec:
    return replace(spec, config=replace(spec.config, drafts=False, vision_cache_tokens=0))


def _model(spec: EngineSpec, synthetic: bool) -> str:
    base = open_checkpoint(spec.plan.base.location)
    count = sum(info.elements for info in base.tensors.values())
    kind = "random weights and a noisy copy as donor" if synthetic else f"{spec.plan.base.location}"
    return f"{base.config['architectures'][0]} of {count / 1e6:.1f} M parameters ({kind})."


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--output", type=Path, help="Markdown file for the results")
    parser.add_argument("--base", type=Path)
    parser.add_argument("--donor", type=Path)
    parser.add_argument("--prompts", type=Path)
    parser.add_argument("--n", type=int, default=100, help="prompts")
    parser.add_argument("--max-tokens", type=int, default=24)
    parser.add_argument("--naive", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
