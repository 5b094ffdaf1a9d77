"""Engines that answer prompts at any recipe, behind one small interface, and the pool of Ray actors that hold them."""
