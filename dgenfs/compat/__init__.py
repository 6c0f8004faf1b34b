"""Interfaces of other generators, for code that is written for them."""
