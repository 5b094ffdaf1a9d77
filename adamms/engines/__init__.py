"""Engines that answer prompts at any recipe, behind one small interface, and the pool of Ray actors that hold them."""

from adamms.engines.engine import Answer, Engine, EngineSpec

__all__ = ["Answer", "Engine", "EngineSpec"]
