import logging
from collections.abc import Sequence
from pathlib import Path

from adamms.checkpoint import open_checkpoint
from adamms.engines.chat import Chat
from adamms.engines.config import EngineConfig
from adamms.engines.engine import EngineSpec
from adamms.engines.loadable import LoadableFolder
from adamms.errors import UserError, first_line
from adamms.prompts.prompt import Prompt, report_problems

log = logging.getLogger(__name__)


def fitting_prompts(
    prompts: Sequence[Prompt], spec: EngineSpec, on_error: str = "fail", who: str = "", weights: bool = True
) -> list[Prompt]:
    """The prompts that leave room for an answer; the base's own processor counts, images
    included, before any engine starts.

    Args:
        who: named in errors, where it is not the base that is asked.
        weights: False where no engine will start, so that of remote models only headers are fetched.

    Raises:
        UserError: some do not, or do not pass the processor (with `on_error=skip`: none does), all reported together;
            or the base has no processor.
    """
    loadable = LoadableFolder(open_checkpoint(spec.plan.base.location, weights=weights), spec, weights)
    for note in loadable.notes:
        log.warning(note)
    chat = Chat(loadable.path, spec.config.trust_remote_code)
    limit = model_length(spec.config, loadable.path)
    problems, fitting = [], []
    for prompt in prompts:
        if prompt.images and not chat.sees:
            problems.append(f"prompt {prompt.id}: it has pictures, and {spec.plan.base.location} reads text only")
            continue
        if held := [token for token in chat.placeholders if token in prompt.text + prompt.system]:
            problems.append(f"prompt {prompt.id}: its text holds {held[0]}, which stands for a picture")
            continue
        try:
            chat.text(prompt)
            length = chat.inputs([prompt])["input_ids"].shape[1]
        except UserError:
            raise
        except Exception as error:  # a template refuses, a processor counts other placeholders than images
            problems.append(f"prompt {prompt.id}: {first_line(error)}")
            continue
        if length + spec.config.max_tokens > limit:
            problems.append(f"prompt {prompt.id}: {length} tokens")
            continue
        fitting.append(prompt)
    place = f"{who}with {spec.config.max_tokens} tokens of answer (engine.max_tokens), {limit} are the limit"
    report_problems(place, problems, on_error)
    if not fitting:
        raise UserError(f"{place}: no prompt fits; raise engine.max_model_len where the model allows it")
    return fitting


def reads_text_only(spec: EngineSpec, weights: bool = True) -> bool:
    """Whether the base takes no pictures.

    Args:
        weights: as `fitting_prompts` takes it.

    Raises:
        UserError: it has no processor and no tokenizer, or no chat template.
    """
    loadable = LoadableFolder(open_checkpoint(spec.plan.base.location, weights=weights), spec, weights=False)
    return not Chat(loadable.path, spec.config.trust_remote_code).sees


def model_length(config: EngineConfig, folder: Path) -> int:
    """Longest prompt and answer together: `engine.max_model_len`, or the model's own limit if that is smaller."""
    from transformers import AutoConfig

    try:
        text = AutoConfig.from_pretrained(folder, trust_remote_code=config.trust_remote_code).get_text_config()
    except Exception as error:  # of what it validates
        reason = first_line(error)
        raise UserError(f"{folder}/config.json: transformers cannot use it ({reason}); mend the file") from None
    own = getattr(text, "max_position_embeddings", None)
    return min(config.max_model_len, own if type(own) is int and own > 0 else config.max_model_len)
