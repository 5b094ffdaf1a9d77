"""What merging, moving and searching cost at real sizes: `make bench-real`.

Random pairs of published shapes are made here; nothing is downloaded. For 0.5B and 2B: a merge on disk, moves alone and
beside a busy core, peak memory beside its estimate, and a search of 4 alphas with images of 448 x 448 against the naive
loop (a checkpoint and a new engine for every alpha). 7B is merged on disk only.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import prod
from pathlib import Path
from typing import Any

from adamms.engines.devices import pick_dtype
from adamms.engines.reservation import threads
from tests.benchmarks.bench_search import answer_in_a_new_process
from tests.benchmarks.machine import machine
from tests.support.real_shapes import SIZES, write_real_pair
from tests.support.tiny_models import Prompt, picture, write_prompts

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).parent / "results" / "real.md"
ALPHAS = (0.0, 0.2, 0.4, 0.6)
ENGINE: dict[str, Any] = {"max_tokens": 16, "max_model_len": 1024, "kv_cache_gb": 0.5}
VARIANTS = {  # what a search does without or besides, to see what it gives
    "all": [],
    "no drafts": ["engine.drafts=false"],
}
AT_ONCE = 4  # prompts with an image, answered before memory is measured
SHARING = ("engine.dtype=bfloat16", "engine.block_size=2")  # so that two engines fit into 24 GB, and both have work
BLOCK = 4 << 20  # bytes of a plain read
BUSY = "while True: pass"


def main() -> None:
    options = _options()
    if options.moves:
        _measure_moves(json.loads(options.moves))
        return
    taken = pick_dtype(options.dtype, "cpu")
    lines = [
        "# Real sizes",
        "",
        f"`make bench-real`: random pairs of published shapes, checkpoints in bfloat16, engines in {taken} "
        f"(engine.dtype={options.dtype}); searches in vLLM, {len(ALPHAS)} alphas x {options.n} prompts with an image "
        f"of 448 x 448, at most {ENGINE['max_tokens']} tokens.",
        "",
        machine(),
    ]
    for size in options.sizes:
        folder = options.folder / size
        shutil.rmtree(folder, ignore_errors=True)
        try:
            lines += ["", f"## {size}", "", *_size(size, folder, options)]
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        print("\n".join(lines), flush=True)
        if options.output:
            options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _size(size: str, folder: Path, options: argparse.Namespace) -> list[str]:
    pair = write_real_pair(folder, size, noise=options.noise)
    lines = [_merge(pair, folder / "merged")]
    if size not in ("0.5b", "2b"):
        return lines
    engine = {**ENGINE, "dtype": options.dtype}
    lines += [*_moves(pair, engine), ""]
    n, file = options.n, write_prompts(folder / "prompts.jsonl", _prompts(options.n))
    variants = VARIANTS if size == "0.5b" else {"all": []}
    naive = _naive(pair, file, n, folder, engine)
    searches = {name: _search(pair, file, n, folder / f"run {name}", engine, more) for name, more in variants.items()}
    lines += _compare(naive, searches)
    return lines + ([_sharing(pair, file, folder, engine)] if size == "0.5b" else [])


def _prompts(n: int) -> list[Prompt]:
    return [Prompt(f"p{i}", f"What is in picture {i}?", (picture(i, side=448),)) for i in range(n)]


def _merge(pair: Sequence[Path], output: Path) -> str:
    """The command as a whole, its peak of memory included."""
    started = time.perf_counter()
    merging = subprocess.Popen([_adamms(), "merge", *map(str, pair), "--alpha", "0.3", "--output", str(output)])
    _, status, used = os.wait4(merging.pid, 0)
    if status:
        raise RuntimeError(f"adamms merge: exit status {os.waitstatus_to_exitcode(status)}")
    seconds, peak = time.perf_counter() - started, used.ru_maxrss / (1 << 20)
    gigabytes = sum(file.stat().st_size for folder in (*pair, output) for file in folder.glob("*.safetensors")) / 1e9
    shutil.rmtree(output)
    return f"- merge on disk: {seconds:.1f} s for {gigabytes:.1f} GB read and written, peak {peak:.1f} GB"


# ---- moves


def _moves(pair: Sequence[Path], engine: Mapping[str, Any]) -> list[str]:
    lines = [
        "",
        "| engine | move alone s | beside a busy core s | ratio | read + write s | ratio | peak GB | estimate GB "
        "| peak while loading GB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for kind in ("transformers", "vllm"):
        task = json.dumps({"base": str(pair[0]), "donor": str(pair[1]), "engine": {**engine, "kind": kind}})
        environment = {**os.environ, **threads(len(os.sched_getaffinity(0)))}  # as an actor has it
        command = [sys.executable, "-m", "tests.benchmarks.bench_real", "--moves", task]
        output = subprocess.run(
            command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT, env=environment
        ).stdout
        found = json.loads(output.splitlines()[-1])
        alone, busy, plain = (found[name] for name in ("alone", "busy", "plain"))
        lines.append(
            f"| {kind} | {alone:.2f} | {busy:.2f} | {busy / alone:.1f} | {plain:.2f} | {alone / plain:.1f} | "
            f"{found['peak']:.1f} | {found['estimate']:.1f} | {found['loading']:.1f} |"
        )
    return lines


def _measure_moves(task: Mapping[str, Any]) -> None:
    """In a process of its own: the engine alone, then beside another process that uses a core."""
    from adamms.checkpoint import open_checkpoint
    from adamms.engines.config import EngineConfig
    from adamms.engines.engine import EngineSpec
    from adamms.engines.memory import BYTES
    from adamms.engines.registry import build, engine_class
    from adamms.mapping import plan_merge
    from adamms.mapping.config import MappingConfig
    from adamms.merging.recipe import Recipe

    base, donor = open_checkpoint(task["base"]), open_checkpoint(task["donor"])
    plan = plan_merge(base, donor, MappingConfig())
    config = EngineConfig(batch_size=AT_ONCE, **task["engine"])
    engine = build(EngineSpec(plan, config))
    loading = engine.take_peak().resident  # with the checkpoint's pages, which the system may drop
    alphas = iter(range(1, 100))

    def move() -> None:
        engine.move(Recipe(alpha=next(alphas) / 100))

    move()
    found = {"alone": _median(move), "loading": loading / (1 << 30)}
    files = [(base.tensors[t.name], donor.tensors[t.pieces[0].sources[0].tensor], prod(t.shape)) for t in plan.merged]
    wider = BYTES[engine.identity.dtype] // BYTES["bfloat16"]  # than the checkpoint's bfloat16
    found["plain"] = _median(lambda: _read_and_write(files, wider))
    busy = subprocess.Popen([sys.executable, "-c", BUSY])
    try:
        found["busy"] = _median(move)
    finally:
        busy.kill()
    engine.generate(_prompts(config.batch_size))
    engine.move(Recipe(alpha=0.5))  # beside what answering keeps
    found["peak"] = engine.take_peak().resident / (1 << 30)
    found["estimate"] = engine_class(config.kind).memory(plan, base, (donor,), config, "cpu").least / (1 << 30)
    print(json.dumps(found), flush=True)
    os._exit(0)


def _read_and_write(files: Sequence[tuple[Any, Any, int]], wider: int) -> None:
    """Reads both models' weights and writes as much memory as the result takes, with as many threads as there are
    cores: the least that any move has to do.

    Args:
        wider: bytes of the result for each byte of the checkpoint.
    """
    result = bytearray(wider * max(base.nbytes for base, _, _ in files))

    def copy(job: tuple[Any, Any, int]) -> None:
        base, donor, start = job
        size = min(BLOCK, base.nbytes - start)
        for info in (donor, base):
            with info.path.open("rb", buffering=0) as file:
                os.preadv(file.fileno(), [memoryview(buffers[info is base])[:size]], info.offset + start)
        for copied in range(wider):
            result[wider * start + copied * size : wider * start + (copied + 1) * size] = memoryview(buffers[1])[:size]

    buffers = (bytearray(BLOCK), bytearray(BLOCK))
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        jobs = [(base, donor, start) for base, donor, _ in files for start in range(0, base.nbytes, BLOCK)]
        list(pool.map(copy, jobs))


def _median(action: Any, times: int = 5) -> float:
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - started)
    return sorted(seconds)[times // 2]


# ---- searches


def _naive(pair: Sequence[Path], prompts: Path, n: int, folder: Path, engine: Mapping[str, Any]) -> dict[str, Any]:
    """For every alpha: write the checkpoint, start an engine that loads it, answer."""
    found: dict[str, Any] = {"total": 0.0, "write": 0.0, "answering": 0.0, "answers": {}}
    for alpha in ALPHAS:
        merged = folder / "naive"
        _, seconds = _timed([_adamms(), "merge", *map(str, pair), "--alpha", str(alpha), "--output", str(merged)])
        task = {"base": str(merged), "donor": str(pair[1]), "prompts": str(prompts), "n": n, "engine": engine}
        started = time.perf_counter()
        answered = answer_in_a_new_process(task)
        found["total"] += time.perf_counter() - started + seconds
        found["write"] += seconds
        found["answering"] += answered["generate"]
        found["answers"][alpha] = answered["answers"]
        shutil.rmtree(merged)
        print(f"naive, alpha {alpha}: {found['total']:.0f} s so far", file=sys.stderr, flush=True)
    return found


def _search(
    pair: Sequence[Path], prompts: Path, n: int, run_dir: Path, engine: Mapping[str, Any], more: Sequence[str]
) -> dict[str, Any]:
    """The whole command, with its own report of seconds by phase and of the peak."""
    settings = {
        "base": pair[0], "donor": pair[1], "prompts.path": prompts, "prompts.n": n, "run_dir": run_dir,
        "searching.alphas": list(ALPHAS), "searching.metric": "either", "searching.noise": 0, "engine.kind": "vllm",
        **{f"engine.{name}": value for name, value in engine.items()},
        "tracking.uri": f"sqlite:///{run_dir}.db",
    }  # fmt: skip
    arguments = [f"{name}={value}".replace("'", "") for name, value in settings.items()]
    command = [sys.executable, str(ROOT / "pipelines" / "search.py"), *arguments, *more]
    _, seconds = _timed(command, (0, 2))  # 2: random models may all repeat themselves, so that none can be chosen
    costs = json.loads((run_dir / "costs.json").read_text(encoding="utf-8"))
    # an answer may hold U+2028, which only `splitlines` takes for an end of line
    lines = [
        line for file in (run_dir / "responses").glob("*.jsonl") for line in file.read_bytes().split(b"\n") if line
    ]
    print(f"search, {run_dir.name}: {seconds:.0f} s", file=sys.stderr, flush=True)
    return {"total": seconds, **costs, "answers": [json.loads(line) for line in lines]}


def _compare(naive: Mapping[str, Any], searches: Mapping[str, Mapping[str, Any]]) -> list[str]:
    start = naive["total"] - naive["write"] - naive["answering"]
    lines = [
        "| | total s | times faster | start s | write s | move s | answer s | answers | peak GB |",
        "|---|---|---|---|---|---|---|---|---|",
        f"| naive loop | {naive['total']:.0f} | | {start:.0f} | {naive['write']:.0f} | | {naive['answering']:.0f} | "
        f"{sum(map(len, naive['answers'].values()))} | |",
    ]
    for name, found in searches.items():
        seconds = found["seconds"]
        start, move, answer, export = (
            seconds.get(phase, 0.0) for phase in ("starting engines", "re-merging", "answering", "exporting")
        )
        lines.append(
            f"| search: {name} | {found['total']:.0f} | {naive['total'] / found['total']:.1f} | {start:.0f} | "
            f"{export:.0f} | {move:.1f} | {answer:.0f} | {len(found['answers'])} | "
            f"{found['peaks'].get('peak_memory_gb', 0):.1f} |"
        )
    answers = [naive["answers"][alpha] for alpha in ALPHAS]
    pairs = [(a[prompt], b[prompt]) for a, b in itertools.pairwise(answers) for prompt in a]
    alike = sum(a == b for a, b in pairs) / len(pairs)
    lines += ["", f"- neighbouring candidates agree on {100 * alike:.0f} % of the answers"]
    if "no drafts" in searches:
        kept = searches["no drafts"]["seconds"]["answering"]
        lines.append(
            f"- kept vision features: without drafts a search answers in {kept:.0f} s, the naive loop, which encodes "
            f"every picture for every alpha, in {naive['answering']:.0f} s"
        )
    return lines


def _sharing(pair: Sequence[Path], prompts: Path, folder: Path, engine: Mapping[str, Any]) -> str:
    """One engine against two that share the machine's cores."""
    seconds = {}
    for actors in (1, 2):
        more = [*SHARING, f"engine.actors={actors}"]
        found = _search(pair, prompts, AT_ONCE, folder / f"run with actors {actors}", engine, more)
        seconds[actors] = found["total"] - found["seconds"]["starting engines"]
    return (
        f"- from started engines to the end, {AT_ONCE} prompts, {' '.join(SHARING)}: one engine {seconds[1]:.0f} s, "
        f"two on the same cores {seconds[2]:.0f} s"
    )


def _timed(command: Sequence[str], expected: tuple[int, ...] = (0,)) -> tuple[str, float]:
    """What a command prints, and its seconds. What it says on the way goes through."""
    started = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, cwd=ROOT)
    if done.returncode not in expected:
        raise RuntimeError(f"{' '.join(command)}: exit status {done.returncode}")
    return done.stdout, time.perf_counter() - started


def _adamms() -> str:
    return str(Path(sys.executable).with_name("adamms"))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="*", choices=SIZES, default=["0.5b", "2b", "7b"])
    parser.add_argument("--n", type=int, default=32, help="prompts")
    parser.add_argument("--noise", type=float, default=0.02, help="of the donor: how often neighbours agree")
    parser.add_argument("--dtype", default="auto", help="engine.dtype; bfloat16 where the processor computes with it")
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "bench-real", help="60 GB for 7b")
    parser.add_argument("--output", type=Path, help=f"Markdown file for the results, {RESULTS.name} by `make`")
    parser.add_argument("--moves", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
