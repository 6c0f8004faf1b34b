"""What holds for every test."""

from hypothesis import settings

# An example is slow when it is the first to load a kernel, or when the machine is busy.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")
