"""What kind of file system a file is in, for those who read it as it likes to be read."""

from pathlib import Path

from dgenfs.machine.system_calls import file_system_type

# Linux include/uapi/linux/magic.h; those that Linux does not have itself are from coreutils,
# src/stat.c.
SERVED = {
    0x65735546: "FUSE",  # rclone, s3fs, GlusterFS, sshfs, JuiceFS; virtiofs too
    0x00006969: "NFS",
    0x0000517B: "SMB",
    0xFF534D42: "CIFS",
    0xFE534D42: "SMB 2",
    0x0000564C: "NCP",
    0x5346414F: "AFS",
    0x6B414653: "kAFS",
    0x73757245: "Coda",
    0x00C36400: "Ceph",
    0x01021997: "9P",
    0x20030528: "OrangeFS",
    0x0BD00BD0: "Lustre",
    0x19830326: "BeeGFS",
    0x47504653: "GPFS",
    0xAAD7AAEA: "PanFS",
    0xBEEFDEAD: "SNFS",
    0x013111A8: "IBRIX",
    0x786F4256: "vboxsf",
    0xBACBACBC: "vmhgfs",
}


def is_served(path: Path) -> bool:
    """Return whether another program or host answers reads of a path: FUSE, or a network's.

    These expect a file to be read in order and see reads ahead by its page cache; the kernel's own
    storage is as good at any order.

    Raises:
        OSError: it cannot be reached.
    """
    return file_system_type(path) in SERVED
