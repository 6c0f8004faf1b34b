"""Containers: files of a format, with content as what their readers see of them.

A module for each format says where its own bytes stand; docs/format.md says the same in words.
"""

EXTENSIONS = ("npy", "npz", "tfrecord", "h5", "hdf5", "parquet", "safetensors", "tar")
