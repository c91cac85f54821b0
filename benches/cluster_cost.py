#!/usr/bin/env python3
"""What a run would cost on a cluster, stage by stage: a simulation by the rates that were measured (README, "On a cluster").

usage: cluster_cost.py [LINES] [CUSTOMERS] [EXECUTORS] [CORES]
  Without arguments ten billion lines of 50 million customers on 50 executors of four cores.
  The scheduler hands out one task after the other; a core that is free takes the next. Tasks of a stage differ in length by up to a half, by a
  fixed seed. Exchanged bytes are written and read over a network of 1 GB a second for each executor.
"""

import heapq
import random
import sys

LINES, CUSTOMERS, EXECUTORS, CORES = (
    int(float(given)) for given in (sys.argv[1:] + ["1e10", "5e7", "50", "4"][len(sys.argv) - 1 :])
)
HAND_OUT = 0.004  # seconds a task, one after the other
NETWORK = 1e9  # bytes a second and executor, in and out
SLOTS = EXECUTORS * CORES
BASKETS = LINES * 0.22

# How a stage is parted: one task for each core, for each 64 MB of the input's Parquet, or for all.
BY_CORE, BY_INPUT, WHOLE = range(3)

# stage, rows, rows a second and core, bytes exchanged a row, how it is parted
STAGES = [
    ("lines, orders and items are counted", LINES, 14e6, 10, BY_INPUT),
    ("customers", LINES, 8e6, 4, BY_INPUT),
    ("scores and segments", CUSTOMERS, 1e6, 0, BY_CORE),
    ("quantiles and medians, two passes", CUSTOMERS, 8e6, 0.1, BY_CORE),
    ("money is sorted", CUSTOMERS, 12e6, 8, BY_CORE),
    ("deciles", CUSTOMERS, 7e6, 8, WHOLE),
    ("baskets", LINES, 23e6, 1.5, BY_INPUT),
    ("itemsets", BASKETS, 7e6, 8, BY_CORE),
    ("customers are written", CUSTOMERS, 1.4e6, 40, BY_CORE),
]


def stage(rows, rate, bytes_a_row, parted):
    """Seconds until the last task of a stage has ended, and how many tasks it had."""
    tasks = {BY_CORE: SLOTS, BY_INPUT: max(SLOTS, int(rows * 8 / 64e6)), WHOLE: 1}[parted]
    chance = random.Random(tasks)
    exchanged = 2 * rows * bytes_a_row / tasks / NETWORK * max(1, min(tasks, SLOTS) / EXECUTORS)
    free = [0.0] * SLOTS
    handed_out = 0.0
    for _ in range(tasks):
        begins = max(handed_out, heapq.heappop(free))
        handed_out = begins + HAND_OUT if begins == handed_out else handed_out + HAND_OUT
        heapq.heappush(free, begins + rows / tasks / rate * chance.uniform(0.75, 1.25) + exchanged)
    return max(free), tasks


total = 0.0
for name, rows, rate, bytes_a_row, parted in STAGES:
    seconds, tasks = stage(rows, rate, bytes_a_row, parted)
    alone = rows / rate / min(tasks, SLOTS)
    total += seconds
    print(f"{name}: {seconds:.1f} s with {tasks:,} tasks ({alone:.1f} s of work a core, {tasks * HAND_OUT:.1f} s to hand out, {rows * bytes_a_row / 1e9:.1f} GB exchanged)")
print(f"in all {total:.0f} s, {sum(stage(*each[1:])[1] for each in STAGES):,} tasks")
