"""The pair that ships with the package as settings: one of its tasks, one method, one engine, no ancestor."""

from adamms.demo import DEFAULT_TASK, PAIR

ONE_TASK = [
    f"base={PAIR / 'base'}",
    f"donor={PAIR / 'donor'}",
    f"prompts.path={PAIR / 'prompts' / f'{DEFAULT_TASK}.jsonl'}",
    "engine.max_tokens=16",
    "searching.metric=either",
    "tracking.experiment=demo",
]
