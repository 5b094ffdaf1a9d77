"""`adamms serve`: a winner behind vLLM's OpenAI-compatible HTTP server, also beside vLLM's rebuild for CPUs."""

import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from adamms.checkpoint import open_checkpoint
from adamms.commands.push import checkpoint_in
from adamms.errors import UserError
from adamms.mapping.architecture import is_authors_own
from adamms.mapping.pair import plan_alone
from adamms.merging.usage import NO_LIBRARY

ON_CPU = "+cpu"
"""Ends the version by which vLLM knows that it is a build for CPUs."""


def serve(place: Path, options: Sequence[str] = (), task: str = "") -> None:
    """Becomes the server's process; it answers until it is stopped.

    Args:
        place: the folder of a search, or of a merge.
        options: of `vllm serve`, which win over what is chosen here.
        task: of a search with `searching.export=each`, whose winner is meant.

    Raises:
        UserError: there is no checkpoint, or one that vLLM's server does not read, or no vLLM.
    """
    folder, _ = checkpoint_in(place, task)
    model = plan_alone(open_checkpoint(str(folder))).base
    if is_authors_own(model.architecture, model.layout):
        raise UserError(f"{folder}: {NO_LIBRARY}; load it with its authors' code, as its base is loaded")
    if importlib.util.find_spec("vllm") is None:
        raise UserError(
            "adamms serve: vLLM is not installed; `pip install 'adamms[vllm]'`, or load it with Transformers"
        )
    arguments = [*arguments_for(folder), *options]
    print(f"vllm serve {' '.join(arguments)}", file=sys.stderr, flush=True)
    os.execv(sys.executable, [sys.executable, "-m", "adamms.commands.serve", *arguments])


def arguments_for(folder: Path) -> list[str]:
    """What `vllm serve` is started with, so that it computes as the search did: on a CPU in float32."""
    from adamms.engines.config import EngineConfig
    from adamms.engines.devices import pick_device
    from adamms.engines.lengths import model_length

    given = [str(folder), "--served-model-name", folder.name, "--generation-config", "vllm"]
    given += ["--max-model-len", str(model_length(EngineConfig(), folder))]
    return given + (["--dtype", "float32", "--enforce-eager"] if pick_device("auto").type == "cpu" else [])


def run_vllm() -> None:
    """`vllm serve` with this process's arguments. Its command line asks for the version of the package `vllm`, which
    its rebuild for CPUs, of another name, does not have."""
    known, ours = importlib.metadata.version, version_of_vllm()

    def version(distribution_name: str) -> str:
        return ours if distribution_name == "vllm" else known(distribution_name)

    importlib.metadata.version = version
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    if ours.endswith(ON_CPU):
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
        os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    from vllm.entrypoints.cli.main import main

    sys.argv = ["vllm", "serve", *sys.argv[1:]]
    main()


def version_of_vllm() -> str:
    """Of the package, or of its rebuild for CPUs, marked as vLLM itself marks it."""
    try:
        return importlib.metadata.version("vllm")
    except importlib.metadata.PackageNotFoundError:
        return importlib.metadata.version("vllm-cpu") + ON_CPU


if __name__ == "__main__":
    run_vllm()
