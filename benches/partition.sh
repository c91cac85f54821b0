#!/usr/bin/env bash
# A cluster of two hosts, as network namespaces, that lose each other in the middle of a run; needs root.
#
#   benches/partition.sh [ORDERS]
#
# The run must end, within minutes, with the bytes of the embedded engine: the executor on the host with the scheduler does the work of
# the other one. REGULARS names the binary; target/release/regulars unless it does.
set -euo pipefail
orders="${1:-200000}"
regulars="$(realpath "${REGULARS:-target/release/regulars}")"
work="$(mktemp -d)"
ends() {
    jobs -p | xargs -r kill 2>/dev/null || true
    ip netns del near 2>/dev/null || true
    ip netns del far 2>/dev/null || true
    rm -rf "$work"
}
trap ends EXIT

ip netns add near
ip netns add far
ip link add to-far netns near type veth peer name to-near netns far
ip -n near addr add 10.77.0.1/24 dev to-far
ip -n far addr add 10.77.0.2/24 dev to-near
for host in near far; do ip -n $host link set lo up; done
ip -n near link set to-far up
ip -n far link set to-near up

cd "$work"
"$regulars" demo --dir shop --orders "$orders" >/dev/null
run=("$regulars" run --config shop/regulars.toml --run-date 2024-12-31 --force)
"${run[@]}" --output expected >/dev/null

mkdir near far
ip netns exec near "$regulars" scheduler --host 10.77.0.1 --executor-timeout 10s 2>scheduler.log &
ip netns exec near "$regulars" executor --scheduler df://10.77.0.1:50050 --host 10.77.0.1 --cores 1 --work-dir near 2>near.log &

# the hosts lose each other after so many seconds
for moment in 0.3 0.8 1.5; do
    ip -n near link set to-far up
    ip netns exec far "$regulars" executor --scheduler df://10.77.0.1:50050 --host 10.77.0.2 --cores 1 --work-dir far 2>far.log &
    far=$!
    sleep 4
    SECONDS=0
    ip netns exec near "${run[@]}" --output "found-$moment" --set engine.kind=ballista \
        --set engine.scheduler=df://10.77.0.1:50050 --set engine.local_limit=0B >run.log 2>&1 &
    client=$!
    sleep "$moment"
    ip -n near link set to-far down
    if ! wait $client; then
        echo "apart after $moment s: the run failed"
        tail -n 3 run.log
        exit 1
    fi
    kill "$far" 2>/dev/null || true
    for table in expected/[a-z]*/; do
        diff -r "$table" "found-$moment/$(basename "$table")"
    done
    echo "apart after $moment s: the same bytes after $SECONDS s"
done
