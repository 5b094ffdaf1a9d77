"""The prompt sets of a search: one, or several that share candidates and engines."""

import re
from collections.abc import Mapping
from dataclasses import replace

from adamms.errors import UserError
from adamms.prompts.config import PromptsConfig
from adamms.prompts.prompt import Prompt, load_prompts

Tasks = dict[str, list[Prompt]]
"""name -> prompts; the only task of a search has no name"""


def load_tasks(config: PromptsConfig) -> Tasks:
    """The prompts of `config.path`, or of every task; ids of several tasks are made unique: `task/id`.

    Raises:
        UserError: both or neither are given, a name is no name, or as `load_prompts`.
    """
    if not config.tasks:
        return {"": load_prompts(config)}
    if config.path:
        raise UserError("prompts.path and prompts.tasks are both given; keep one")
    strange = [name for name in config.tasks if not re.fullmatch(r"[\w-][\w.-]*", str(name))]
    if strange:
        raise UserError(f"prompts.tasks: {strange[0]!r} is no name; use letters, digits, - and _")
    return {
        name: [replace(prompt, id=f"{name}/{prompt.id}") for prompt in load_prompts(replace(config, path=path))]
        for name, path in config.tasks.items()
    }


def all_prompts(tasks: Mapping[str, list[Prompt]]) -> list[Prompt]:
    """The prompts of all tasks."""
    return [prompt for prompts in tasks.values() for prompt in prompts]
