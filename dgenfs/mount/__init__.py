"""The mount: names as files of a FUSE file system."""
