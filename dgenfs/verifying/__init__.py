"""Copies compared with what they should hold, and any files measured."""
