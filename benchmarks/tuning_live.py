"""How many epochs until a good configuration is found, on trainings that are run meanwhile.

    python benchmarks/tuning_live.py digits 30    # or series; 30 seeds
    python benchmarks/tuning_live.py series 150 random hyperband    # these searches only

The target is the 95 % quantile of 4,000 random trials that were trained to the end; those are kept
in ``.cache``. The rules are those of tuning_players.py, the tasks those of tuning_live_tasks.py.
"""

from __future__ import annotations

import logging
import sys
import time

import numpy as np
from tuning_live_tasks import TASKS
from tuning_players import compare, everyone

SHARE, TRIALS = 0.95, 4000


def main(name: str, seeds: int, only: list[str]) -> None:
    """Print the epochs that each search takes; ``only`` some of them, where it is not empty."""
    task = TASKS[name]()
    began = time.process_time()
    finals = task.finals(TRIALS)
    target = float(np.quantile(finals, SHARE))
    print(
        f"{name}: {TRIALS} random trials end at {finals.min():.4f} to {finals.max():.4f}, median "
        f"{np.median(finals):.4f}; the target, their {SHARE:.0%} quantile, is {target:.4f} "
        f"({time.process_time() - began:.0f} s of CPU time)",
        flush=True,
    )
    players = {n: player for n, player in everyone().items() if not only or n in only}
    found = compare(players, task.game(), target, seeds)
    for other in players if "asha" in players else ():
        won = np.mean(found["asha"] <= found[other])
        print(f"  asha took no more epochs than {other} with {won:.0%} of the seeds")
    print(f"  {time.process_time() - began:.0f} s of CPU time")


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 30, sys.argv[3:])
