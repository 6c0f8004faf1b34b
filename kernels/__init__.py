"""The code that runs compiled, without the GIL: generation, comparison, location."""
