#!/usr/bin/env python3
"""Every count of itemsets that others found in the shared data, against ours.

usage: goldens.py SHARED ALGORITHM [DATASET...]
  SHARED     the folder that has data/    ALGORITHM  fp_growth or apriori
  The environment's REGULARS names the binary, REGULARS_SETTINGS other settings, such as
  "engine.kind=ballista engine.scheduler=df://127.0.0.1:50050 engine.local_limit=0B".
"""

import csv
import json
import os
import subprocess
import sys
import tempfile
import time

shared, algorithm, *chosen = sys.argv[1:]
regulars = os.environ.get("REGULARS", "target/release/regulars")
columns = {"online_retail": ["order_id=InvoiceNo", "item_id=StockCode"]}
wrong = checked = 0
with open(f"{shared}/data/golden/itemset_counts.tsv", newline="") as goldens, tempfile.TemporaryDirectory() as work:
    for golden in csv.DictReader(goldens, delimiter="\t"):
        dataset = golden["dataset"]
        if chosen and dataset not in chosen:
            continue
        for target in ["frequent", "closed", "maximal"]:
            if not golden[target].isdigit():
                continue
            sets = [f"rules.algorithm={algorithm}", f"rules.target={target}", "rules.max_length=0"]
            sets += [f"rules.min_support_count={golden['min_count']}", "rules.max_itemsets=20000000"]
            sets += ["clean.returns=keep", "clean.returns_when=false"]
            sets += os.environ.get("REGULARS_SETTINGS", "").split()
            sets += [f"input.columns.{column}" for column in columns.get(dataset, [])]
            command = [regulars, "run", "--input", f"{shared}/data/{dataset}.parquet", "--output", f"{work}/out"]
            command += ["--run-date", "2030-01-01", "--select", "itemsets", "--force", "--json"]
            started = time.monotonic()
            ran = subprocess.run(command + [word for set in sets for word in ("--set", set)], capture_output=True, text=True)
            found = json.loads(ran.stdout)["tables"]["frequent_itemsets"]["rows"] if ran.returncode == 0 else ran.stderr
            checked += 1
            wrong += str(found) != golden[target]
            told = "equal" if str(found) == golden[target] else f"expected {golden[target]}, found {found}"
            print(f"{dataset} at {golden['min_count']}, {target}: {told} ({time.monotonic() - started:.1f} s)", flush=True)
print(f"{checked - wrong} of {checked} are equal")
sys.exit(wrong > 0 or not checked)
