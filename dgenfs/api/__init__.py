"""The Python API: content into buffers, file objects and files."""
