#!/usr/bin/env bash
# Two members in two network namespaces, joined by a veth pair whose link goes down for 8 seconds.
# Last line: PASS, FAIL or SKIP. Status 0 for PASS and SKIP.
set -uo pipefail
cd "$(dirname "$0")/../.."

tag="tl$$"
left="${tag}l"
right="${tag}r"

skip() { echo "SKIP: $1"; exit 0; }

command -v ip >/dev/null || skip 'there is no ip command (package iproute2)'
[ "$(id -u)" = 0 ] || skip 'making network namespaces needs root'

cleanup() {
  ip netns del "$left" 2>/dev/null
  ip netns del "$right" 2>/dev/null
}
trap cleanup EXIT
trap 'exit 130' INT TERM

ip netns add "$left" 2>/dev/null && ip netns add "$right" 2>/dev/null || skip 'network namespaces cannot be made here'
ip link add "${tag}a" netns "$left" type veth peer name "${tag}b" netns "$right" 2>/dev/null ||
  skip 'veth interfaces cannot be made here'
ip -n "$left" address add 10.99.0.1/24 dev "${tag}a" && ip -n "$left" link set lo up && ip -n "$left" link set "${tag}a" up &&
  ip -n "$right" address add 10.99.0.2/24 dev "${tag}b" && ip -n "$right" link set lo up && ip -n "$right" link set "${tag}b" up ||
  skip 'the interfaces cannot be set up'

# A carrier takes a moment, and an interface without one has no address for Node.
for _ in $(seq 100); do
  ip -n "$left" link show "${tag}a" | grep -q 'state UP' && ip -n "$right" link show "${tag}b" | grep -q 'state UP' && break
  sleep 0.05
done

if node "${TRIBELINE_DIST:-dist}/test/netns/drive.js" "$left" "$right" "${tag}a"; then
  echo PASS
else
  echo FAIL
  exit 1
fi
