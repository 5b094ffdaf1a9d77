"""What a GPU gives: `make bench-gpu`. Makes its own pair of real shapes, downloads nothing; each part in ten minutes.

    python -m tests.benchmarks.bench_gpu [--part 1|2] [--size tiny|0.5b|7b] [--device cpu|cuda] [--write]

Part 1 needs torch, torchvision, transformers and safetensors only: merging into live weights against a device copy of
as many bytes, and whether A -> B -> A gives the same bits. Part 2 needs all of adamms and vLLM: the command
`adamms search` from load to choice with drafts and without, moves against answering, peak memory against its estimate.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adamms.prompts.prompt import Prompt
from tests.benchmarks.machine import machine
from tests.support.real_shapes import write_real_pair
from tests.support.tiny_models import picture, write_prompts, write_tiny_pair

if TYPE_CHECKING:
    import torch

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).parent / "results"
ALPHAS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
A, B = 0.3, 0.6
MOVES = 5  # that are timed
LIMIT = 600.0  # seconds of a part
VARIANTS: dict[str, list[str]] = {"drafts on": [], "drafts off": ["engine.drafts=false"]}
Rows = Iterator[tuple[str, str, str]]
"""What was measured, the figure, the goal."""


def main() -> None:
    options = _options()
    if options.check:
        print(json.dumps(_check_engine(json.loads(options.check))), flush=True)
        os._exit(0)  # without the seconds that vLLM takes to end
    if options.part is None:  # a process each: the first must not keep memory of the GPU
        for part in PARTS:
            command = [sys.executable, "-m", "tests.benchmarks.bench_gpu", *sys.argv[1:], "--part", part]
            subprocess.run(command, check=True, cwd=ROOT)
        return
    title = (
        f"`python -m tests.benchmarks.bench_gpu --part {options.part} --size {options.size} --device {options.device}`"
    )
    lines = [f"# GPU benchmark, part {options.part}", "", title, "", machine(), "", "| | | goal |", "|---|---|---|"]
    print("\n".join(lines), flush=True)
    failed = False
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="bench-gpu-") as scratch:
        for row in PARTS[options.part](options, Path(scratch)):
            lines.append(f"| {' | '.join(row)} |")
            print(lines[-1], flush=True)
            failed |= "bit-identical" in row[0] and row[1] != "yes"
            if options.write:  # at once: nothing that was measured is lost when time is up
                options.write.mkdir(parents=True, exist_ok=True)
                file = options.write / f"gpu-{options.part}.md"
                file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    sys.exit("A -> B -> A gave other bits" if failed else 0)


def _write_pair(folder: Path, size: str) -> tuple[Path, Path]:
    if size == "tiny":
        pair = write_tiny_pair(folder)
        return pair.base, pair.donor
    return write_real_pair(folder, size)


# ---- part 1: merging in memory


def measure_moves(options: argparse.Namespace, folder: Path) -> Rows:
    """Merges into weights on the device, as an engine's move does, without an engine."""
    import torch

    from adamms.checkpoint import open_checkpoint
    from adamms.checkpoint.dtypes import TORCH_DTYPES
    from adamms.engines.live_merge import LiveMerge
    from adamms.engines.originals import nearby_originals
    from adamms.mapping import plan_merge
    from adamms.mapping.config import MappingConfig
    from adamms.mapping.plan import names_from
    from adamms.merging.recipe import Recipe

    device = torch.device(options.device)
    seconds, pair = _timed(lambda: _write_pair(folder, options.size))
    yield "writing a random pair", f"{seconds:.1f} s", ""
    base, donor = (open_checkpoint(str(one)) for one in pair)
    plan = plan_merge(base, donor, MappingConfig())
    seconds, originals = _timed(lambda: nearby_originals(plan, plan.merged, device), device)
    yield "bringing the originals near", f"{seconds:.1f} s", ""
    live = {t.name: torch.empty(prod(t.shape), dtype=TORCH_DTYPES[t.dtype], device=device) for t in plan.merged}
    copies = {name: torch.empty_like(tensor) for name, tensor in live.items()}

    def move(alpha: float) -> str:
        merge = LiveMerge(plan, originals, Recipe(alpha=alpha), device)
        for _ in merge.into(plan.merged, lambda tensor: live[tensor.name]):
            pass
        return merge.digest()

    def copy() -> None:
        for name, tensor in live.items():
            copies[name].copy_(tensor)

    first, bits = move(A), _digest(live)
    other, other_bits = move(B), _digest(live)
    back, back_bits = move(A), _digest(live)
    same = (first, bits) == (back, back_bits) and first != other and bits != other_bits
    yield "A -> B -> A is bit-identical, and B is not A", "yes" if same else "NO", "yes"

    merged = sum(tensor.nbytes for tensor in live.values())
    sources = names_from(plan.merged, 0)
    moved = 2 * merged + sum(donor.tensors[name].nbytes for name in sources)  # base and donor read, the result written
    copy()  # its memory is touched for the first time
    copying = 2 * merged / _median(copy, device)
    merging = moved / (time_of_move := _median(lambda: move(A), device))
    yield "merged weights", f"{merged / 1e9:.3g} GB", ""
    yield "a move, digest included", f"{time_of_move:.4f} s", ""
    yield "bytes read and written by a move", f"{merging / 1e9:.1f} GB/s", ""
    yield "by a device copy", f"{copying / 1e9:.1f} GB/s", ""
    yield "bandwidth of a move / of a copy", f"{merging / copying:.0%}", "70 %"
    if device.type == "cuda":
        yield "peak memory of the GPU", f"{torch.cuda.max_memory_allocated() / 1e9:.1f} GB", ""


def _digest(live: Mapping[str, torch.Tensor]) -> str:
    """Of the weights as they lie in memory, not as they were computed."""
    from adamms.engines.digest import WeightsDigest

    digest = WeightsDigest()
    for name, tensor in live.items():
        digest.add(name, tensor)
    return digest.hex()


def _timed(action: Callable[[], Any], device: torch.device | None = None) -> tuple[float, Any]:
    import torch

    started = time.perf_counter()
    found = action()
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started, found


def _median(action: Callable[[], Any], device: torch.device) -> float:
    return sorted(_timed(action, device)[0] for _ in range(MOVES))[MOVES // 2]


# ---- part 2: searching with vLLM


def measure_search(options: argparse.Namespace, folder: Path) -> Rows:
    """The command as a user has it; then one engine by itself."""
    deadline = time.monotonic() + LIMIT
    seconds, pair = _timed(lambda: _write_pair_for_vllm(folder, options.size))
    yield "writing a random pair", f"{seconds:.1f} s", ""
    prompts = [Prompt(f"p{i}", f"What is in picture {i}?", (picture(i, side=448),)) for i in range(options.n)]
    file = write_prompts(folder / "prompts.jsonl", prompts)
    engine = {"kind": "vllm", "device": options.device, "max_model_len": 1024, "enforce_eager": False}
    engine["kv_cache_gb"] = 4.0 if options.device == "cuda" else 0.5  # named, so that memory has an estimate
    yield "prompts, each with an image of 448 x 448; alphas", f"{options.n}; {len(ALPHAS)}", "100; 7"
    yield "CUDA graphs", "on" if options.device == "cuda" else "none on a CPU", "on"
    found = {}
    for name, more in VARIANTS.items():
        found[name] = _search(pair, file, options.n, engine, more, folder / name, deadline)
        yield from _told(name, found[name])
    on, off = (found[name] for name in VARIANTS)
    answers = len(on["answers"])
    differing = sum(text != off["answers"].get(key) for key, text in on["answers"].items())
    yield "answers that differ with drafts and without", f"{differing} of {answers}", "few"
    yield "both searches merged the same weights", "yes" if on["digests"] == off["digests"] else "NO", "yes"

    task = json.dumps({"base": str(pair[0]), "donor": str(pair[1]), "engine": engine, "prompts": str(file)})
    output = _run([sys.executable, "-m", "tests.benchmarks.bench_gpu", "--check", task], deadline)
    checked = json.loads(output.splitlines()[-1])
    yield (
        "live weights of vLLM: A -> B -> A is bit-identical, and B is not A",
        "yes" if checked["same"] else "NO",
        "yes",
    )
    yield "answers that differ after A -> B -> A", f"{checked['differing']} of {checked['asked']}", "0"
    yield "a move", f"{checked['move']:.3f} s", ""
    peak, estimate = on["peak"], checked["estimate"]
    yield "peak memory", f"{peak:.2f} GB", ""
    yield "its estimate", f"{estimate:.2f} GB ({estimate / peak - 1:+.0%})", "within 15 %"


def _write_pair_for_vllm(folder: Path, size: str) -> tuple[Path, Path]:
    """On a CPU vLLM wants attention heads of 32 at least: the tiny pair of part 1 has smaller ones."""
    if size == "tiny":
        from tests.benchmarks.bench_search import synthetic_pair

        return synthetic_pair(folder, 1)[:2]
    return _write_pair(folder, size)


def _search(
    pair: Sequence[Path], prompts: Path, n: int, engine: Mapping[str, Any], more: Sequence[str], run: Path,
    deadline: float,
) -> dict[str, Any]:  # fmt: skip
    """Runs the command, and reads what it leaves; its checkpoint is removed for want of room."""
    settings = {
        "base": pair[0], "donor": pair[1], "prompts.path": prompts, "prompts.n": n, "run_dir": run,
        "searching.alphas": list(ALPHAS), "searching.metric": "either", "tracking.enabled": False,
        **{f"engine.{name}": value for name, value in engine.items()},
    }  # fmt: skip
    started = time.time()
    arguments = [f"{name}={value}" for name, value in settings.items()]
    command = [sys.executable, "-m", "adamms", "search", *arguments, *more]
    _run(command, deadline, (0, 2))  # 2: random models may all repeat themselves, so that none can be chosen
    ended = time.time()
    shutil.rmtree(run / "merged", ignore_errors=True)
    costs, selection = (json.loads((run / name).read_text("utf-8")) for name in ("costs.json", "selection.json"))
    candidates = [json.loads(file.read_text("utf-8")) for file in (run / "candidates").glob("*.json")]
    files = (run / "responses").glob("*.jsonl")
    lines = [line for file in files for line in file.read_bytes().split(b"\n") if line]  # an answer may hold U+2028
    return {
        "choice": (run / "selection.json").stat().st_mtime - started,
        "total": ended - started,
        "seconds": costs["seconds"],
        "peak": costs["peaks"].get("peak_gpu_memory_gb", costs["peaks"]["peak_memory_gb"]),
        "noise": selection.get("noise"),
        "chosen": selection["alpha"],
        "digests": {one["value"]: one["digest"] for one in candidates},
        "decoded": sum(one["measured"]["decoded_tokens"] for one in candidates),
        "answers": {(row["alpha"], row["prompt_id"]): row["response"] for row in map(json.loads, lines)},
    }


def _told(name: str, found: Mapping[str, Any]) -> Rows:
    seconds = found["seconds"]
    goal = "5 min at 7B" if name == "drafts on" else ""
    yield f"{name}: from load to choice", f"{found['choice']:.0f} s", goal
    yield f"{name}: chosen", str(found["chosen"]), ""
    yield f"{name}: the whole command, checkpoint and report included", f"{found['total']:.0f} s", ""
    for phase in ("starting engines", "re-merging", "answering", "exporting"):
        yield f"{name}: {phase}", f"{seconds.get(phase, 0.0):.2f} s", ""
    ratio = seconds["re-merging"] / seconds["answering"]
    yield f"{name}: re-merging / answering", f"{ratio:.0%}", "10 %"
    yield f"{name}: tokens decoded", f"{found['decoded']:.0f}", ""
    noise = found["noise"] or {"differing": 0, "asked": 0}
    yield f"{name}: answers that differ when asked again", f"{noise['differing']} of {noise['asked']}", "few"


def _check_engine(task: Mapping[str, Any]) -> dict[str, Any]:
    """In a process of its own: an engine goes from A to B and back, and its memory is estimated."""
    from adamms.checkpoint import open_checkpoint
    from adamms.engines.config import EngineConfig
    from adamms.engines.engine import EngineSpec
    from adamms.engines.registry import build, engine_class
    from adamms.mapping import plan_merge
    from adamms.mapping.config import MappingConfig
    from adamms.merging.recipe import Recipe
    from adamms.prompts.config import PromptsConfig
    from adamms.prompts.prompt import load_prompts

    base, donor = open_checkpoint(task["base"]), open_checkpoint(task["donor"])
    plan, config = plan_merge(base, donor, MappingConfig()), EngineConfig(**task["engine"])
    need = engine_class(config.kind).memory(plan, base, (donor,), config, config.device)
    on_gpu = need.originals + need.moving if config.device == "cuda" else 0  # on a CPU originals are page cache
    engine: Any = build(EngineSpec(plan, config))
    prompts = load_prompts(PromptsConfig(path=task["prompts"], n=8))
    seconds, digests, live, texts = [], [], [], []
    for alpha in (A, B, A):
        started = time.perf_counter()
        digests.append(engine.move(Recipe(alpha=alpha)))
        seconds.append(time.perf_counter() - started)
        live.append(engine._llm.collective_rpc("adamms_live_digest"))
        texts.append([answer.text for answer in engine.generate(prompts)])
    bits = list(zip(digests, live, strict=True))
    return {
        "same": bits[0] == bits[2] and digests[0] != digests[1] and live[0] != live[1],
        "differing": sum(a != b for a, b in zip(texts[0], texts[2], strict=True)),
        "asked": len(prompts),
        "move": min(seconds),
        "estimate": (need.least + on_gpu) / (1 << 30),
    }


def _run(command: Sequence[str], deadline: float, expected: Sequence[int] = (0,)) -> str:
    """What a command prints, which has to end before the deadline; what it says on the way goes through."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment)
    try:
        output, _ = process.communicate(timeout=max(deadline - time.monotonic(), 1))
    except subprocess.TimeoutExpired:
        process.terminate()  # not kill: a search has Ray and engines to end
        process.wait(30)
        sys.exit(f"time is up ({LIMIT:.0f} s) in: {' '.join(command)[:200]}")
    if process.returncode not in expected:
        sys.exit(f"exit status {process.returncode}: {' '.join(command)[:200]}")
    return output


PARTS: dict[str, Callable[[argparse.Namespace, Path], Rows]] = {"1": measure_moves, "2": measure_search}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=PARTS, help="one of them; without it both")
    parser.add_argument("--size", choices=["tiny", "0.5b", "7b"], default="7b")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda")
    parser.add_argument("--n", type=int, default=100, help="prompts of part 2")
    parser.add_argument("--folder", type=Path, help="for the pair: 50 GB at 7b; without it the system's temporary one")
    parser.add_argument("--write", type=Path, nargs="?", const=RESULTS, help="folder for gpu-1.md and gpu-2.md")
    parser.add_argument("--check", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
