"""Answering prompts with candidate models: prompts, engines behind one small interface, and the pool of Ray actors."""

from adamms.generation.engine import Answer, Engine, EngineSpec
from adamms.generation.prompts import Prompt, load_prompts

__all__ = ["Answer", "Engine", "EngineSpec", "Prompt", "load_prompts"]
