"""A clock that can be stepped: the file named by FAULTS_CLOCK holds how many seconds it is ahead."""

import os
import time

_file, _time, _time_ns = os.environ.get("FAULTS_CLOCK", ""), time.time, time.time_ns


def _ahead_s():
    try:
        with open(_file) as file:
            return float(file.read() or 0)
    except (OSError, ValueError):
        return 0.0


if _file:
    time.time = lambda: _time() + _ahead_s()
    time.time_ns = lambda: _time_ns() + round(_ahead_s() * 1e9)
