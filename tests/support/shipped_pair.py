"""The pair that ships with the package as settings of a command: one of its tasks, one method, no ancestor."""

from adamms.demo import DEFAULT_TASK, PAIR

ONE_TASK = [
    f"base={PAIR / 'base'}",
    f"donor={PAIR / 'donor'}",
    f"prompts.path={PAIR / 'prompts' / f'{DEFAULT_TASK}.jsonl'}",
    "engine.max_tokens=16",
    "tracking.experiment=demo",
]
