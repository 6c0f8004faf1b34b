"""Signals that are to end this process."""

import signal


def ending_signals() -> list[signal.Signals]:
    """Return SIGINT, SIGTERM and SIGHUP, but for what whoever started us has ignored (nohup(1))."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
