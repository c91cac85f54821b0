"""The time of PyFIM's C miners on the data sets of benches/mining.rs: baskets in memory, itemsets counted.

usage: pyfim.py FOLDER    (the folder that has data/*.parquet; needs duckdb and pyfim)
"""

import statistics
import sys
import time

import duckdb
import fim

DATA = [
    ("belgian_retail", "order_id", "item_id", 88),
    ("t10i4d100k", "order_id", "item_id", 10),
    ("online_retail", "InvoiceNo", "StockCode", 52),
    ("kosarak_first100k", "order_id", "item_id", 100),
    ("chess", "order_id", "item_id", 1598),
]

for name, order, item, min_count in DATA:
    rows = duckdb.sql(
        f"with item as (select {item} as id, row_number() over (order by {item}) as code "
        f"from '{sys.argv[1]}/data/{name}.parquet' group by 1) "
        f"select list(distinct code) from '{sys.argv[1]}/data/{name}.parquet' join item on {item} = id group by {order}"
    ).fetchall()
    baskets = [tuple(row[0]) for row in rows]
    for algorithm in (fim.eclat, fim.fpgrowth):
        seconds = []
        for _ in range(10):
            started = time.perf_counter()
            algorithm(baskets, target="s", supp=-min_count, zmin=1, report="#")
            seconds.append(time.perf_counter() - started)
        print(f"{name} at {min_count}: {algorithm.__name__} {1000 * statistics.median(seconds):.1f} ms")
