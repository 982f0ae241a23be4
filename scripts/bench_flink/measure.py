"""What a run costs: CPU seconds and resident memory of processes, and the figures of several runs
together. Called by the other files of this folder."""

import os
import statistics
import threading
from dataclasses import dataclass


@dataclass
class Run:
    """One run of a query: seconds, CPU seconds, and the peak of resident memory in MB."""

    seconds: float
    cpu: float
    peak: float


def cpu_seconds(pids):
    ticks = 0
    for pid in pids:
        try:
            fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
        except OSError:
            pass
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_mb(pids):
    total = 0
    for pid in pids:
        try:
            for line in open(f"/proc/{pid}/status"):
                if line.startswith("VmRSS:"):
                    total += int(line.split()[1])
        except OSError:
            pass
    return total / 1024


class PeakMemory(threading.Thread):
    """The most that the given processes held at once, sampled ten times a second."""

    def __init__(self, pids):
        super().__init__(daemon=True)
        self.pids, self.peak, self.over = pids, 0.0, threading.Event()

    def run(self):
        while not self.over.wait(0.1):
            self.peak = max(self.peak, resident_mb(self.pids))

    def stop(self):
        self.over.set()
        self.join()
        return self.peak


def add(cell, events, run):
    """Adds a run over `events` events to the figures of one query on one engine."""
    for name, value in (("rates", events / run.seconds), ("cpu", run.cpu / events * 1e6),
                        ("peak", run.peak), ("load", os.getloadavg()[0])):
        cell.setdefault(name, []).append(value)
    cell["events"] = events


def spread(values, scale=1.0, digits=2):
    """Median (minimum-maximum)."""
    values = sorted(v * scale for v in values)
    middle = statistics.median(values)
    return f"{middle:.{digits}f} ({values[0]:.{digits}f}-{values[-1]:.{digits}f})"
