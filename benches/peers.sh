#!/usr/bin/env bash
# The whole job against what others do with the same Parquet, in one run: ratios of medians (hyperfine).
#
# usage: peers.sh SHARED ORDERS [PYTHON]
#   SHARED  the folder that has data/ and peers/    ORDERS  what peers/generate_orders.py 4000000 wrote
#   PYTHON  a Python with peers/requirements.txt
set -euo pipefail
shared=$1 orders=$2 python=${3:-python3}
regulars=${REGULARS:-target/release/regulars}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

compare() { # name, our command, the peer's
    # each writes anew: neither has what it wrote before to replace or to tidy up
    hyperfine --warmup 1 --runs 5 --prepare "rm -rf $work/out $work/*.parquet" --export-json "$work/times.json" "$2" "$3" >"$work/log" 2>&1
    "$python" - "$1" "$work/times.json" <<'PYTHON'
import json, sys
ours, peer = (result["median"] for result in json.load(open(sys.argv[2]))["results"])
print(f"{sys.argv[1]}: {ours:.2f} s, the peer {peer:.2f} s, ratio {ours / peer:.2f}")
PYTHON
}

for peer in duckdb polars; do
    compare "18 million lines, RFM, $peer" \
        "$regulars run --input $orders --output $work/out --run-date 2025-12-31 --force --select rfm" \
        "$python $shared/peers/rfm_$peer.py $orders 2025-12-31 $work/rfm.parquet"
done
for count in 4000 400; do
    compare "18 million lines at $count, itemsets and rules, DuckDB's pairs" \
        "$regulars run --input $orders --output $work/out --run-date 2025-12-31 --force --select rules \
            --set rules.min_support_count=$count --set rules.max_length=0" \
        "$python $shared/peers/pairs_duckdb.py $orders $count $work/pairs.parquet"
done
while read -r name count algorithm order item; do
    compare "$name at $count, itemsets, PyFIM's $algorithm" \
        "$regulars run --input $shared/data/$name.parquet --output $work/out --run-date 2030-01-01 --force --select itemsets \
            --set rules.min_support_count=$count --set rules.max_length=0 --set input.columns.order_id=$order \
            --set input.columns.item_id=$item --set clean.returns=keep --set clean.returns_when=false" \
        "$python $shared/peers/itemsets_pyfim.py $shared/data/$name.parquet $count $algorithm $work/itemsets.parquet $order $item"
done <<'DATA'
belgian_retail 9 eclat order_id item_id
t10i4d100k 10 eclat order_id item_id
online_retail 52 eclat InvoiceNo StockCode
kosarak_first100k 100 eclat order_id item_id
mushroom 407 eclat order_id item_id
chess 1598 fpgrowth order_id item_id
DATA
