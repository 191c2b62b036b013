#!/usr/bin/env python3
"""Print when and on what the figures of a comparison were measured: `2026-01-31, NAME OF THE CPU, 2 cores, Linux`."""

import datetime
import os
import platform
from pathlib import Path


def cpu():
    """The name of the processor; the machine's kind where the system does not tell."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


print(f"{datetime.date.today()}, {cpu()}, {os.cpu_count()} cores, {platform.system()}")
