#!/usr/bin/env bash
# One command onto the topic by kcat, as Engraft's own JSON, and its outcome back.
#
#   bash kcat.sh
#
# ENGRAFT_KAFKA__BROKERS (localhost:9092) and ENGRAFT_KAFKA__TOPIC_PREFIX (none) are the server's own variables.
# The outcome is printed as JSON; what is not committed within half a minute ends the script with 1.
set -euo pipefail

brokers=${ENGRAFT_KAFKA__BROKERS:-localhost:9092}
prefix=${ENGRAFT_KAFKA__TOPIC_PREFIX:-}
# Under an id of its own, a command that is sent again is done once.
id=kcat-$(date +%s)-$$
# Where to look for the outcome from, in milliseconds: a minute ago, since it bears the worker's clock.
since=$((($(date +%s) - 60) * 1000))

# The key is the space. librdkafka places keys by CRC32 unless it is told to place them as Java does.
kcat -P -b "$brokers" -t "${prefix}engraft.commands.v1" -k acme -X partitioner=murmur2_random <<COMMAND
{"type":"memory.put","id":"$id","source":"/producers/kcat","data":{"id":"from-kcat","content":"A record by kcat"}}
COMMAND

# An outcome names its command in a header. Copies may repeat; they are identical.
outcome=''
for ((tries = 60; tries > 0; tries--)); do
    outcome=$(kcat -C -q -b "$brokers" -t "${prefix}engraft.outcomes.v1" -o "s@$since" -e -f '%h\t%s\n' |
        sed -n "s/^.*ce_causationid=$id\(,.*\)\{0,1\}\t//p" | tail -n 1)
    [[ -z $outcome ]] || break
    sleep 0.5
done
echo "${outcome:?no outcome came}"
[[ $outcome == *'"outcome":"committed"'* ]]
