#!/usr/bin/env bash
# What warm prefixes are worth: conversations of several turns over two llama-servers of one thread and two slots each, by three ways of choosing
# a server: at random and least busy (nginx), and the gateway. Each meets the same conversations, on servers that have just been started.
#
#   LLAMA_SERVER=… MODEL=model.gguf NGINX=… load-tests/affinity.sh [DURATION] [CONVERSATIONS-PER-SECOND]
#
# Needs a Release build of src/Gateway and load-tests. NGINX comes from eng/install-peers.sh. Prints a Markdown table.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${LLAMA_SERVER:?names the llama-server program}" "${MODEL:?names a .gguf file}"
nginx=${NGINX:-.tools/peers/bin/nginx}
duration=${1:-60s}
rate=${2:-0.5}
ports=(18311 18312)
door=18310
work=$(mktemp -d)
started=()

stop() {
  for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${started[@]}"; do wait "$pid" 2>/dev/null || true; done
  started=()
}
trap stop EXIT

until_ready() {
  for _ in $(seq 300); do
    curl -sf "$1" >/dev/null && return
    sleep 0.2
  done
  echo "$1 did not become ready; see $work" >&2
  exit 1
}

servers() {
  for port in "${ports[@]}"; do
    "$LLAMA_SERVER" -m "$MODEL" --alias chat --host 127.0.0.1 --port "$port" --threads 1 --parallel 2 -c 65536 --batch-size 512 --threads-http 32 --metrics >"$work/$1-$port.log" 2>&1 &
    started+=($!)
  done
  for port in "${ports[@]}"; do until_ready "http://127.0.0.1:$port/health"; done
}

door_nginx() {
  cat >"$work/nginx.conf" <<CONF
daemon off; worker_processes 1; pid $work/nginx.pid; error_log $work/nginx.log;
events { worker_connections 1024; }
http {
  access_log off; client_body_temp_path $work/body; proxy_temp_path $work/proxy; fastcgi_temp_path $work/f; uwsgi_temp_path $work/u; scgi_temp_path $work/s;
  upstream servers { $1; server 127.0.0.1:${ports[0]}; server 127.0.0.1:${ports[1]}; }
  server { listen 127.0.0.1:$door; location / { proxy_pass http://servers; proxy_http_version 1.1; proxy_buffering off; proxy_read_timeout 600s; client_max_body_size 32m; } }
}
CONF
  "$nginx" -c "$work/nginx.conf" >"$work/nginx.out" 2>&1 &
  started+=($!)
}

door_gateway() {
  cat >"$work/gateway.json" <<JSON
{ "Gateway": { "Listen": "http://127.0.0.1:$door", "StateDirectory": "$work/state" }, "Management": { "Listen": "http://127.0.0.1:0" },
  "Models": { "chat": { "Kind": "remote", "Remotes": [ { "Url": "http://127.0.0.1:${ports[0]}", "Slots": 2 }, { "Url": "http://127.0.0.1:${ports[1]}", "Slots": 2 } ] } } }
JSON
  src/Gateway/bin/Release/net10.0/llm-gateway --config "$work/gateway.json" >"$work/gateway.out" 2>&1 &
  started+=($!)
}

# Tokens that the servers have read and generated; and all that stood in their slots when an answer ended: prompts, found in a cache or read, and answers.
counted() { for port in "${ports[@]}"; do curl -s "http://127.0.0.1:$port/metrics"; done | awk -v name="llamacpp:$1" '$1 == name { sum += $2 } END { print sum + 0 }'; }
in_slots() { awk '/stop processing: n_tokens = / { sub(/.*n_tokens = /, ""); sum += $1 } END { print sum + 0 }' "$work/$1"-*.log; }

echo "| choice of the server | turns | of their prompts found in a cache | first token p50 / p90 / p99 | total p50 / p99 |"
echo "|---|---|---|---|---|"
for policy in random least_conn gateway; do
  servers "$policy"
  if [ "$policy" = gateway ]; then door_gateway; else door_nginx "$policy"; fi
  until_ready "http://127.0.0.1:$door/health"
  dotnet load-tests/bin/Release/net10.0/load-tests.dll long-chat --url "http://127.0.0.1:$door" --model chat --duration "$duration" --rate "$rate" \
    --seed 7 --warm-up 0s --max-error-rate 0.2 --out "$work/$policy" >"$work/$policy.out" 2>&1 || cat "$work/$policy.out" >&2
  read=$(counted prompt_tokens_total)
  generated=$(counted tokens_predicted_total)
  awk -F' *\\| *' -v policy="$policy" -v read="$read" -v generated="$generated" -v slots="$(in_slots "$policy")" '
    $2 == "first token" && !first { turns = $3; first = $5 " / " $6 " / " $7 }
    $2 == "total" && !total { total = $5 " / " $7 }
    END { printf "| %s | %d | %.0f %% | %s | %s |\n", policy, turns, 100 * (1 - read / (slots - generated)), first, total }' "$work/$policy.out"
  stop
done
