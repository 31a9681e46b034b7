#!/usr/bin/env bash
# Follow the outcomes of a space as they come (server-sent events), and go on after a break where one left off.
#
# ENGRAFT_URL and ENGRAFT_TOKEN are as for quickstart.sh. It ends with 1 when an answer is not what it should be.
set -euo pipefail

url=${ENGRAFT_URL:-http://127.0.0.1:7878}
space=curl-events-$(date +%s)-$$
folder=$(mktemp -d)
options=(-sS --max-time 30)
[[ -z ${ENGRAFT_TOKEN:-} ]] || options+=(-H "authorization: Bearer $ENGRAFT_TOKEN")
stream=''
trap '[[ -z $stream ]] || kill "$stream" 2>/dev/null; rm -rf "$folder"' EXIT

# within_10_s COMMAND…: until the command succeeds.
within_10_s() {
    local tenths=100
    until "$@"; do
        ((tenths-- > 0)) || { echo "not seen in 10 s: $*" >&2 && exit 1; }
        sleep 0.1
    done
}

# follow FILE [HEADER]: writes the events of the space into a file, in the background.
follow() {
    curl "${options[@]}" -N -D "$1.head" -H 'accept: text/event-stream' ${2:+-H "$2"} \
        "$url/v1/events?space=$space" >"$1" &
    stream=$!
    within_10_s grep -qs '^HTTP/1.1 200' "$1.head"
}

put() {
    curl "${options[@]}" -X PUT -H 'prefer: wait=10' -H 'content-type: application/json' \
        -d "{\"content\":\"$2\"}" "$url/v1/memories/$space/$1" >/dev/null
}

put before 'the space is there'

echo "1. Follow the space, then write to it: the outcome arrives by itself."
follow "$folder/first"
put m-1 'first'
within_10_s grep -q '"memory":"m-1"' "$folder/first"
kill "$stream" && wait "$stream" 2>/dev/null || true

echo "2. Hang up, write more, and follow again from the last event that was seen: nothing is missed."
cursor=$(grep '"memory":"m-1"' -B 5 -A 5 "$folder/first" | sed -nE 's/^id: ?//p' | tail -n 1 | tr -d '\r')
put m-2 'second'
follow "$folder/second" "last-event-id: $cursor"
within_10_s grep -q '"memory":"m-2"' "$folder/second"
if grep -q '"memory":"m-1"' "$folder/second"; then
    echo "an event that was seen already came again" >&2
    exit 1
fi

echo "All as it should be, in space $space."
