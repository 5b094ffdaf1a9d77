"""Makes cogvlm2.json: what CogVLM2's own code answers with the tiny model of tests/support/authors.py.

Their code is modeling_cogvlm.py, visual.py, util.py and configuration_cogvlm.py of THUDM/cogvlm2-llama3-chat-19B, as
copied in github.com/Niky-san/cogvlm2_surce at 7982d39e94468c807a4940c54fa32fab52658131. It is no part of this project.
Made with Python 3.11, torch 2.13.0, transformers 4.44.2, einops, numpy:

    python tests/engines/models/references/make_cogvlm2.py FOLDER_OF_THEIR_CODE [float32|bfloat16]

Changed in memory, since a CPU has neither: `triton`'s kernel, which rotates the two halves of each head, and xformers'
attention.
"""

from __future__ import annotations

import importlib.util
import io
import json
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[4]))
from tests.support import authors
from tests.support.pictures import picture


def stub_modules() -> None:
    """Names that the authors' code imports and a CPU has not; torch looks for triton when it is imported."""
    import torchvision  # noqa: F401
    import transformers.generation  # noqa: F401

    triton, language = types.ModuleType("triton"), types.ModuleType("triton.language")
    triton.jit, triton.language, language.constexpr = (lambda kernel: kernel), language, int
    xformers, ops = types.ModuleType("xformers"), types.ModuleType("xformers.ops")
    xformers.ops, ops.memory_efficient_attention = ops, attend
    sys.modules |= {"triton": triton, "triton.language": language, "xformers": xformers, "xformers.ops": ops}


def attend(q: Any, k: Any, v: Any, scale: float) -> Any:
    """xformers' attention of [batch, length, heads, width]."""
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, scale=scale).transpose(1, 2)


def rotate(x: Any, cos: Any, sin: Any, **options: Any) -> Any:
    """What their kernel computes: [batch, heads, length, width] with cos and sin of [batch, length, width / 2]."""
    first, second = x.chunk(2, dim=-1)
    cos, sin = cos[:, None], sin[:, None]
    x.copy_(torch.cat((first * cos - second * sin, first * sin + second * cos), dim=-1))
    return x


def their_code(folder: Path) -> Any:
    """Their `modeling_cogvlm`, as a module of a package."""
    stub_modules()
    package = types.ModuleType("theirs")
    package.__path__ = [str(folder)]
    sys.modules["theirs"] = package
    for name in ("configuration_cogvlm", "util", "visual", "modeling_cogvlm"):
        spec = importlib.util.spec_from_file_location(f"theirs.{name}", folder / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[f"theirs.{name}"] = module
        spec.loader.exec_module(module)
    sys.modules["theirs.util"].apply_rotary = rotate
    return sys.modules["theirs.modeling_cogvlm"]


class Unpadded(torch.nn.Embedding):
    """Theirs pads with a row of LLaMA 3, which a tiny vocabulary has not."""

    def __init__(self, rows: int, width: int, padding: int | None = None) -> None:
        super().__init__(rows, width)


class SmallTokenizer:
    """What their code asks of a tokenizer; it sets a padding token of LLaMA 3, which a tiny vocabulary has not."""

    bos_token_id, eos_token_id, pad_token_id = 1, 2, 0

    def __init__(self, file: str) -> None:
        from tokenizers import Tokenizer

        self.tokenizer = Tokenizer.from_file(file)

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=add_special_tokens).ids


def load(code: Any, folder: Path, dtype: torch.dtype) -> Any:
    """Their model, in this dtype, of a folder's weights."""
    from safetensors.torch import load_file

    settings = json.loads((folder / "config.json").read_text())
    config = sys.modules["theirs.configuration_cogvlm"].CogVLMConfig(**settings)
    embedding, torch.nn.Embedding = torch.nn.Embedding, Unpadded
    model = code.CogVLMForCausalLM(config)
    torch.nn.Embedding = embedding
    model = model.to(dtype).eval()
    missing, unexpected = model.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
    assert not unexpected, unexpected
    assert not missing, missing
    return model


@torch.no_grad()
def answer(model: Any, tokenizer: Any, question: str, image: bytes | None) -> dict[str, Any]:
    """The prompt's token ids, the greedy tokens, and their log-probabilities."""
    pictures = [Image.open(io.BytesIO(image)).convert("RGB")] if image else []
    inputs = model.build_conversation_input_ids(tokenizer, query=question, history=[], images=pictures)
    ids, types_of = inputs["input_ids"][None], inputs["token_type_ids"][None]
    ids[types_of == 1] = 0  # theirs is a token of LLaMA 3, which a tiny vocabulary has not
    dtype = model.lm_head.weight.dtype
    output = model.generate(
        input_ids=ids,
        token_type_ids=types_of,
        attention_mask=torch.ones_like(ids),
        images=[[inputs["images"][0].to(dtype)]] if image else None,
        max_new_tokens=authors.TOKENS,
        do_sample=False,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=0,
        return_dict_in_generate=True,
        output_logits=True,
    )
    tokens = output.sequences[0, ids.shape[1] :].tolist()
    rows = torch.stack(output.logits)[:, 0].float().log_softmax(-1)
    return {
        "question": question,
        "image": bool(image),
        "text_ids": [int(i) for i, kind in zip(ids[0], types_of[0], strict=True) if kind == 0],
        "tokens": tokens,
        "logprobs": [round(float(row[token]), 6) for row, token in zip(rows, tokens, strict=True)],
    }


def main() -> None:
    import transformers

    code = their_code(Path(sys.argv[1]))
    dtype = sys.argv[2] if len(sys.argv) > 2 else "float32"
    found = {"made_by": f"torch {torch.__version__}, transformers {transformers.__version__}, {dtype}"}
    with tempfile.TemporaryDirectory() as root:
        base, donor, merged = (Path(root, one) for one in ("base", "donor", "merged"))
        authors.save_cogvlm(base, second=True)
        authors.save_cogvlm(donor, seed=1, second=True)
        authors.write_merged(merged, base, donor)
        tokenizer = SmallTokenizer(f"{base}/tokenizer.json")
        for kind, folder in (("answers", base), ("merged", merged)):
            model = load(code, folder, getattr(torch, dtype))
            found[kind] = [
                answer(model, tokenizer, question, picture(i) if image else None)
                for i, (question, image) in enumerate(authors.ASKED)
            ]
    file = Path(__file__).with_name("cogvlm2.json" if dtype == "float32" else f"cogvlm2-{dtype}.json")
    file.write_text(json.dumps(found) + "\n")
    print(file, [len(one["tokens"]) for one in found["answers"]])


if __name__ == "__main__":
    main()
