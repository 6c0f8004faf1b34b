"""What ``dgenfs mount`` and mount(8) have in common."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dgenfs import logs
from dgenfs.machine.appending import open_to_append
from dgenfs.mount.mountpoint import check_answers, remount, require_pyfuse3
from dgenfs.mount.options import Options

if TYPE_CHECKING:
    from dgenfs.names.data_set import DataSet


def start(
    mountpoint: Path,
    names: tuple[str, ...],
    options: Options,
    settings: dict[str, Any],
    *,
    data_set: "DataSet | None" = None,
    foreground: bool = False,
) -> None:
    """Mount in the background, or change the mount that is there if the options say so.

    Args:
        mountpoint: where.
        names: what a listing shows, none for examples.
        options: what -o says.
        settings: fields of MountConfig, and ``log_file``; those of -o hold.
        data_set: what a profile puts beside the names.
        foreground: whether to serve here instead, to the end.

    Raises:
        MountError: it cannot be mounted.
        SpecError: a name is not valid.
        ValueError: a setting is outside its range.
        OSError: there can be no log.
    """
    if options.remount:
        remount(mountpoint, options.flags)
        return
    require_pyfuse3()
    from dgenfs.names.catalog import ROOT

    for name in names:
        ROOT.child(name)
    values = settings | options.settings
    log_file = values.pop("log_file", None)
    if log_file is not None:
        log = os.fdopen(open_to_append(log_file), "a", encoding="utf-8", errors="backslashreplace")
        logs.configure(log=log)
    # Behind what may be wrong in the usage: it loads the compiler.
    from dgenfs.mount.background import run_in_background
    from dgenfs.mount.session import EXAMPLES, MountConfig, run

    config = MountConfig(
        mountpoint=mountpoint.absolute(),
        names=names or (EXAMPLES if data_set is None else ()),
        data_set=data_set,
        read_only=options.read_only,
        options=options.for_libfuse,
        **values,
    )
    if foreground:
        run(config, lambda: None)
    else:
        daemon = run_in_background(lambda ready: run(config, ready))
        check_answers(config.mountpoint, daemon)
