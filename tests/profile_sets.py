"""What the tests of profiles are made of."""

# Files in subfolders whose sizes differ, and others with indices.
SETS = """
[[set]]
directory = "train"
files = 30
subfolders = 4
format = "npy"
size = { distribution = "normal", mean = "40K", deviation = "30K" }

[[set]]
directory = "valid"
files = 3
format = "indexed_binary"
record = 1000
size = 10500
dedup = 2
compress = 1.5
"""
