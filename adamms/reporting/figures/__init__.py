"""The figures: each a function from what a search left, or other plain data, to a `Drawing`."""
