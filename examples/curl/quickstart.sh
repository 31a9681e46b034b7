#!/usr/bin/env bash
# Put, relate, search, walk, wait: the whole of Engraft by curl, against a running `engraft serve`.
#
#   ENGRAFT_URL    the server; http://127.0.0.1:7878
#   ENGRAFT_TOKEN  a bearer token, if it wants one
#
# Every answer is checked: the script ends with 1 at the first that is not what it should be.
set -euo pipefail

url=${ENGRAFT_URL:-http://127.0.0.1:7878}
space=curl-$(date +%s)-$$    # a space of its own, made by its first use

# call METHOD PATH [BODY] [HEADER]: sends it, and waits up to 10 s for the outcome of a write.
call() {
    local method=$1 path=$2 body=${3:-} header=${4:-prefer: wait=10}
    local options=(-sS --max-time 30 -X "$method" -H "$header")
    [[ -z $body ]] || options+=(-H 'content-type: application/json' -d "$body")
    [[ -z ${ENGRAFT_TOKEN:-} ]] || options+=(-H "authorization: Bearer $ENGRAFT_TOKEN")
    curl "${options[@]}" "$url$path"
}

# expect ANSWER TEXT: the answer holds it.
expect() {
    if [[ $1 != *"$2"* ]]; then
        echo "expected $2 in: $1" >&2
        exit 1
    fi
}

echo "1. Put two memories; each answer is the command's outcome."
answer=$(call PUT "/v1/memories/$space/tea" \
    '{"content":"Ada likes green tea","properties":{"topic":"tea"},"vector":[0.9,0.1,0.0]}')
expect "$answer" '"outcome":"committed"'
answer=$(call PUT "/v1/memories/$space/kettle" \
    '{"kind":"Procedure","content":"Boil the kettle, then wait three minutes","vector":[0.1,0.9,0.0]}')
expect "$answer" '"effect":"created"'

echo "2. Relate them."
answer=$(call PUT "/v1/relations/$space/tea/REQUIRES/kettle" '{"weight":0.8}')
expect "$answer" '"outcome":"committed"'

echo "3. Search by words: no embedding model is needed."
answer=$(call POST /v1/search "{\"space\":\"$space\",\"text\":\"green tea\",\"limit\":1}")
expect "$answer" '"content":"Ada likes green tea"'

echo "4. Search by a vector."
answer=$(call POST /v1/search "{\"space\":\"$space\",\"vector\":[0.0,1.0,0.0],\"limit\":1}")
expect "$answer" '"id":"kettle"'

echo "5. Walk from one memory to the other."
answer=$(call GET "/v1/memories/$space/tea/neighbors?direction=out&depth=1")
expect "$answer" '"type":"REQUIRES"'
expect "$answer" '"id":"kettle"'

echo "6. Send without waiting: the answer comes as soon as the command is durable."
put="{\"type\":\"memory.put\",\"id\":\"command-1\",\"space\":\"$space\",\"data\":{\"id\":\"milk\",\"content\":\"No milk\"}}"
answer=$(call POST /v1/commands "$put" 'prefer: respond-async')
expect "$answer" '"state":"accepted"'
position=$(sed -E 's/.*"position":"([^"]+)".*/\1/' <<<"$answer")
token=$(sed -E 's/.*"token":"([^"]+)".*/\1/' <<<"$answer")

echo "7. Its token makes a read see it; its position tells what became of it."
answer=$(call GET "/v1/memories/$space/milk" '' "consistency-token: $token")
expect "$answer" '"content":"No milk"'
answer=$(call GET "/v1/commands/$position" '' 'prefer: wait=10')
expect "$answer" '"outcome":"committed"'

echo "8. Send the same command again: it is done once."
answer=$(call POST /v1/commands "$put")
expect "$answer" "\"duplicate_of\":\"$position\""

echo "All as it should be, in space $space."
