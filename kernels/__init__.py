"""The code that runs compiled, without the GIL: content, comparison, cache, the request loop."""
