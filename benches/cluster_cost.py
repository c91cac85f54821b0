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

# stage, rows, rows a second and core, bytes exchanged a row, whether its tasks read the input (64 MB of Parquet each)
STAGES = [
    ("lines, orders and items are counted", LINES, 14e6, 10, True),
    ("customers", LINES, 8e6, 4, True),
    ("scores and segments", CUSTOMERS, 1e6, 0, False),
    ("quantiles and medians, two passes", CUSTOMERS, 8e6, 0.1, False),
    ("deciles", CUSTOMERS, 1.5e6, 24, False),
    ("baskets", LINES, 23e6, 1.5, True),
    ("itemsets", BASKETS, 7e6, 8, False),
    ("customers are written", CUSTOMERS, 1.4e6, 40, False),
]


def stage(rows, rate, bytes_a_row, reads_input):
    """Seconds until the last task of a stage has ended, and how many tasks it had."""
    tasks = max(SLOTS, int(rows * 8 / 64e6)) if reads_input else SLOTS
    chance = random.Random(tasks)
    exchanged = 2 * rows * bytes_a_row / (EXECUTORS * NETWORK) * SLOTS / tasks
    free = [0.0] * SLOTS
    handed_out = 0.0
    for _ in range(tasks):
        begins = max(handed_out, heapq.heappop(free))
        handed_out = begins + HAND_OUT if begins == handed_out else handed_out + HAND_OUT
        heapq.heappush(free, begins + rows / tasks / rate * chance.uniform(0.75, 1.25) + exchanged)
    return max(free), tasks


total = 0.0
for name, rows, rate, bytes_a_row, reads_input in STAGES:
    seconds, tasks = stage(rows, rate, bytes_a_row, reads_input)
    alone = rows / rate / SLOTS
    total += seconds
    print(f"{name}: {seconds:.1f} s with {tasks:,} tasks ({alone:.1f} s of work a core, {tasks * HAND_OUT:.1f} s to hand out, {rows * bytes_a_row / 1e9:.1f} GB exchanged)")
print(f"in all {total:.0f} s, {sum(stage(*each[1:])[1] for each in STAGES):,} tasks")
