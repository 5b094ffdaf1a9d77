"""How fast merging on disk is, and in how much memory: `make bench-merge`, or with sizes:
`python -m tests.benchmarks.bench_merge 1 3 8`.

Contenders, each in a process of its own, one after the other, on the same two checkpoints:

- `copy`: reads all of the donor and copies the base, by plain reads and writes of 8 MiB and an fsync: the least that
  any merge on this disk has to do, with the same number of threads;
- `adamms`: `merge_to_disk`, linear, alpha 0.3, fsync included;
- `mergekit`: its linear merge, in an environment of its own (made here with uv), without fsync.

Inputs are dropped from the page cache before every run (`--warm` keeps them there). Wall and CPU seconds are of the
whole process and, in brackets, of what comes after start-up (imports). Memory is the peak of the process's anonymous
pages, sampled every 20 ms.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.support.real_mergekit import PACKAGES, mergekit_yaml

ALPHA = 0.3
BLOCK = 8 << 20
RESULTS = Path(__file__).parent / "results" / "merge.md"
VOCABULARY, HIDDEN, FEED_FORWARD, HEADS, KV_HEADS = 32000, 2048, 8192, 16, 4


@dataclass(frozen=True)
class Measured:
    wall: float
    after_start: float
    cpu: float
    cpu_after_start: float
    anonymous_mb: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", type=float, default=[1, 3, 8], help="of each checkpoint, GB")
    parser.add_argument("--folder", type=Path, default=Path("runs/bench-merge"), help="on the disk to be measured")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--warm", action="store_true")
    parser.add_argument("--without-mergekit", action="store_true")
    parser.add_argument("--write", action="store_true", help=f"put the table into {RESULTS}")
    arguments = parser.parse_args()
    lines = [
        _machine(),
        "",
        "| GB | contender | threads | wall s (after start-up) | CPU s (after start-up) | anonymous MB | runs |",
    ]
    lines.append("|---|---|---|---|---|---|---|")
    print("\n".join(lines), flush=True)
    for size in arguments.sizes:
        folder = arguments.folder / f"{size:g}"
        try:
            rows, summary = _measure_size(size, folder, arguments)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        lines += [*rows, summary]
    lines += _commands(arguments.folder / "commands")
    print(lines[-1])
    table = [line for line in lines if line.startswith("|") or line == ""]
    ratios = [line for line in lines if line.startswith("- ")]
    if arguments.write:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text("\n".join([lines[0], *table, "", *ratios]) + "\n", encoding="utf-8")


def _commands(folder: Path) -> list[str]:
    """What a small command takes as a whole: the help, and a merge of the shipped tiny pair."""
    adamms, pair, output = Path(sys.executable).with_name("adamms"), Path("adamms/demo/pair"), folder / "merged"
    merge = [str(pair / "base"), str(pair / "donor"), "--alpha", "0.3", "--output", str(output)]
    texts = []
    for name, arguments in (("merge --help", ["--help"]), ("merge of the tiny pair", merge)):
        walls = []
        for _ in range(7):
            shutil.rmtree(output, ignore_errors=True)
            begin = time.perf_counter()
            subprocess.run([str(adamms), "merge", *arguments], check=True, capture_output=True)
            walls.append(time.perf_counter() - begin)
        texts.append(f"`adamms {name}`: {statistics.median(walls):.2f} s ({min(walls):.2f} to {max(walls):.2f})")
    shutil.rmtree(folder, ignore_errors=True)
    return [f"- whole commands, median of 7: {'; '.join(texts)}"]


def _measure_size(size: float, folder: Path, arguments: argparse.Namespace) -> tuple[list[str], str]:
    base, donor, output = folder / "base", folder / "donor", folder / "out"
    for seed, path in enumerate((base, donor)):
        make_checkpoint(path, size, seed)
    contenders = {
        (name, n): _command(name, base, donor, output, n) for n in arguments.workers for name in ("copy", "adamms")
    }
    if not arguments.without_mergekit:
        contenders["mergekit", 0] = _mergekit(folder, base, donor, output)
    found: dict[tuple[str, int], list[Measured]] = {key: [] for key in contenders}
    for _ in range(arguments.repeat):
        for key, command in contenders.items():
            if not arguments.warm:
                _evict(base, donor)
            found[key].append(_run(command))
            shutil.rmtree(output)
    rows = [_row(size, key, runs) for key, runs in found.items()]
    print("\n".join(rows))
    summary = _summary(size, found)
    print(summary, flush=True)
    return rows, summary


def _row(size: float, key: tuple[str, int], runs: list[Measured]) -> str:
    m = median(runs)
    name, workers = key
    wall, cpu = f"{m.wall:.1f} ({m.after_start:.1f})", f"{m.cpu:.1f} ({m.cpu_after_start:.1f})"
    walls = ", ".join(f"{run.wall:.1f}" for run in runs)
    return f"| {size:g} | {name} | {workers or 'its own'} | {wall} | {cpu} | {m.anonymous_mb:.0f} | {walls} |"


def _summary(size: float, found: dict[tuple[str, int], list[Measured]]) -> str:
    """Ratios are taken within a round, since the machine is not the same from minute to minute."""
    texts = []
    for (name, workers), runs in found.items():
        if name == "adamms":
            ratios = [
                ours.after_start / copy.after_start for ours, copy in zip(runs, found["copy", workers], strict=True)
            ]
            texts.append(f"{workers} threads: {statistics.median(ratios):.2f} x copy")
    if ("mergekit", 0) in found:
        last = max(key for key in found if key[0] == "adamms")
        ratios = [theirs.wall / ours.wall for theirs, ours in zip(found["mergekit", 0], found[last], strict=True)]
        texts.append(f"mergekit / adamms, whole process: {statistics.median(ratios):.1f}")
    return f"- {size:g} GB: {'; '.join(texts)}"


def median(runs: list[Measured]) -> Measured:
    columns = zip(*((m.wall, m.after_start, m.cpu, m.cpu_after_start, m.anonymous_mb) for m in runs), strict=True)
    return Measured(*(statistics.median(column) for column in columns))


def make_checkpoint(folder: Path, size: float, seed: int) -> None:
    """A Qwen2 of about `size` GB in bfloat16, in shards of about 1 GB, written piece by piece."""
    import torch
    from safetensors.torch import save_file

    layer = {
        "self_attn.q_proj.weight": (HIDDEN, HIDDEN),
        "self_attn.k_proj.weight": (HIDDEN * KV_HEADS // HEADS, HIDDEN),
        "self_attn.v_proj.weight": (HIDDEN * KV_HEADS // HEADS, HIDDEN),
        "self_attn.q_proj.bias": (HIDDEN,),
        "self_attn.k_proj.bias": (HIDDEN * KV_HEADS // HEADS,),
        "self_attn.v_proj.bias": (HIDDEN * KV_HEADS // HEADS,),
        "self_attn.o_proj.weight": (HIDDEN, HIDDEN),
        "mlp.gate_proj.weight": (FEED_FORWARD, HIDDEN),
        "mlp.up_proj.weight": (FEED_FORWARD, HIDDEN),
        "mlp.down_proj.weight": (HIDDEN, FEED_FORWARD),
        "input_layernorm.weight": (HIDDEN,),
        "post_attention_layernorm.weight": (HIDDEN,),
    }
    layer_bytes = 2 * sum(torch.Size(shape).numel() for shape in layer.values())
    layers = max(1, round((size * 1e9 - 4 * VOCABULARY * HIDDEN) / layer_bytes))
    shapes = {"model.embed_tokens.weight": (VOCABULARY, HIDDEN)}
    shapes |= {f"model.layers.{i}.{name}": shape for i in range(layers) for name, shape in layer.items()}
    shapes |= {"model.norm.weight": (HIDDEN,), "lm_head.weight": (VOCABULARY, HIDDEN)}
    config = {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "torch_dtype": "bfloat16",
        "hidden_size": HIDDEN,
        "intermediate_size": FEED_FORWARD,
        "num_hidden_layers": layers,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "vocab_size": VOCABULARY,
        "tie_word_embeddings": False,
    }
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {f"t{i}": i for i in range(VOCABULARY)}}}))
    generator = torch.Generator().manual_seed(seed)
    noise = (torch.randn(1 << 22, generator=generator) * 0.02).bfloat16()
    groups: list[dict[str, torch.Tensor]] = [{}]
    files: list[str] = []
    weight_map: dict[str, str] = {}

    def flush() -> None:
        files.append(f"part-{len(files)}.safetensors")
        save_file(groups[-1], folder / files[-1], metadata={"format": "pt"})
        weight_map.update(dict.fromkeys(groups[-1], files[-1]))
        groups.append({})

    for name, shape in shapes.items():
        elements = torch.Size(shape).numel()
        start = int(torch.randint(0, 1 << 20, (), generator=generator))
        tensor = noise[start:].repeat(elements // (len(noise) - start) + 1)[:elements].view(shape).clone()
        groups[-1][name] = tensor
        if sum(value.nbytes for value in groups[-1].values()) > 1e9:
            flush()
    if groups[-1]:
        flush()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def _command(name: str, base: Path, donor: Path, output: Path, workers: int) -> list[str]:
    return [sys.executable, __file__, f"--as-{name}", str(base), str(donor), str(output), str(workers)]


def _mergekit(folder: Path, base: Path, donor: Path, output: Path) -> list[str]:
    recipe = folder / "mergekit.yml"
    recipe.write_text(
        f"merge_method: linear\ndtype: bfloat16\nmodels:\n"
        f"  - {{model: {base.resolve()}, parameters: {{weight: {1 - ALPHA}}}}}\n"
        f"  - {{model: {donor.resolve()}, parameters: {{weight: {ALPHA}}}}}\n"
    )
    return [str(mergekit_yaml()), str(recipe), str(output), "--no-copy-tokenizer", "--quiet"]


def _run(command: list[str]) -> Measured:
    """Peak memory is of the process itself: none of the contenders starts others."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    environment.pop("PYTHONPATH", None)
    if command[0] == sys.executable:
        environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    peak = 0
    while True:
        peak = max(peak, _anonymous(process.pid))
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        time.sleep(0.02)
    wall = time.perf_counter() - begin
    assert process.stdout is not None
    told = process.stdout.read().split()
    if os.waitstatus_to_exitcode(status):
        raise RuntimeError(f"{' '.join(command)} failed")
    cpu = usage.ru_utime + usage.ru_stime
    after, cpu_after = map(float, told[-2:]) if command[0] == sys.executable else (wall, cpu)
    return Measured(wall, after, cpu, cpu_after, peak / 1e6)


def _anonymous(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon")), 0)


def _evict(*folders: Path) -> None:
    os.sync()
    for folder in folders:
        for path in folder.iterdir():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _machine() -> str:
    import torch

    model = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return (
        f"{time.strftime('%Y-%m-%d')}, {model.partition(': ')[2]}, {os.cpu_count()} cores, {memory:.0f} GB, Linux "
        f"{platform.release()}, Python {platform.python_version()}, torch {torch.__version__}, {PACKAGES[0]}; "
        f"load average {os.getloadavg()[0]:.1f} at the start"
    )


def _as_copy(base: Path, donor: Path, output: Path, workers: int) -> None:
    begin, cpu = time.perf_counter(), time.process_time()
    output.mkdir()
    work = [(path, None) for path in donor.iterdir()] + [(path, output / path.name) for path in base.iterdir()]
    segments = []
    for path, target in work:
        size = path.stat().st_size
        if target is not None:
            with target.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, max(size, 1))
        segments += [(path, target, start, min(start + (64 << 20), size)) for start in range(0, size, 64 << 20)]
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(_copy_segment, segments))
    for path in output.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    print(time.perf_counter() - begin, time.process_time() - cpu)


def _copy_segment(segment: tuple[Path, Path | None, int, int]) -> None:
    path, target, start, stop = segment
    buffer = memoryview(bytearray(BLOCK))
    with path.open("rb", buffering=0) as source:
        out = os.open(target, os.O_WRONLY) if target is not None else None
        while start < stop:
            count = os.preadv(source.fileno(), [buffer[: min(BLOCK, stop - start)]], start)
            if out is not None:
                os.pwrite(out, buffer[:count], start)
            start += count
        if out is not None:
            os.close(out)


def _as_adamms(base: Path, donor: Path, output: Path, workers: int) -> None:
    import torch  # noqa: F401  (start-up)

    from adamms.checkpoint import open_checkpoint
    from adamms.mapping import PlannedPair, plan_merge
    from adamms.mapping.config import MappingConfig
    from adamms.merging import Recipe
    from adamms.merging.config import MergingConfig
    from adamms.merging.to_disk import merge_to_disk

    begin, cpu = time.perf_counter(), time.process_time()
    ours, theirs = open_checkpoint(str(base)), open_checkpoint(str(donor))
    pair = PlannedPair(plan_merge(ours, theirs, MappingConfig()), ours, (theirs,))
    merge_to_disk(pair, Recipe("linear", ALPHA), output, config=MergingConfig(workers=workers))
    print(time.perf_counter() - begin, time.process_time() - cpu)


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] in ("--as-copy", "--as-adamms"):
        role, base, donor, output, workers = sys.argv[1:]
        {"--as-copy": _as_copy, "--as-adamms": _as_adamms}[role](Path(base), Path(donor), Path(output), int(workers))
    else:
        main()
