#!/usr/bin/env bash
# The main job, step by step, as a user would type it: a cluster, a task definition of
# two containers, a task in real containers, its log, its port, its end. Leaves nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PWD/bin:$PATH

aws_program=$(build/setup.sh aws)
command -v curl >/dev/null || { apt-get install -y -qq curl >/dev/null; }
work=$(mktemp -d "${TMPDIR:-/tmp}/gantry-demo.XXXXXX")
data=$work/data
unset $(compgen -e | grep -E '^AWS_' || true)
export AWS_PAGER="" HOME=$work/home
mkdir -p "$HOME"
aws() { "$aws_program" "$@"; }

finish() {
	local code=$?
	gantry down --data-dir "$data" >/dev/null 2>&1 || true
	[ -n "${server:-}" ] && wait "$server" 2>/dev/null || true
	rm -rf "$work"
	[ $code -eq 0 ] || printf '\nThe demo ended with code %s.\n' $code >&2
	exit $code
}
trap finish EXIT
trap 'exit 130' INT TERM

run() { # run COMMAND…: shows the command, then its output
	printf '\n\033[1m$ %s\033[0m\n' "$*"
	"$@"
}

started=$(date +%s%N)
printf '\033[1m$ gantry up --data-dir %s --listen 127.0.0.1:0 &\033[0m\n' "$data"
: >"$work/up.log"
gantry up --data-dir "$data" --listen 127.0.0.1:0 >"$work/up.log" 2>&1 &
server=$!
while ! grep -q '^ready' "$work/up.log"; do
	kill -0 "$server" 2>/dev/null || { cat "$work/up.log"; exit 1; }
	sleep 0.05
done
cat "$work/up.log"

printf '\n\033[1m$ eval "$(gantry env --data-dir %s)"\033[0m\n' "$data"
eval "$(gantry env --data-dir "$data")"

run gantry image load build/samples/web.tar
run gantry image load build/samples/worker.tar
run aws ecs create-cluster --cluster-name demo --query cluster.clusterArn --output text

cat >"$work/web.json" <<'JSON'
{
  "family": "web",
  "networkMode": "bridge",
  "containerDefinitions": [
    {
      "name": "web",
      "image": "gantry/sample-web:latest",
      "cpu": 64, "memory": 64,
      "portMappings": [{"containerPort": 8080, "hostPort": 0}],
      "healthCheck": {"command": ["CMD", "/web", "check"], "interval": 5, "timeout": 2, "retries": 3},
      "logConfiguration": {"logDriver": "awslogs", "options": {
        "awslogs-group": "/demo/web", "awslogs-region": "us-east-1",
        "awslogs-create-group": "true", "awslogs-stream-prefix": "demo"}}
    },
    {
      "name": "worker",
      "image": "gantry/sample-worker:latest",
      "cpu": 32, "memory": 32, "essential": false,
      "dependsOn": [{"containerName": "web", "condition": "HEALTHY"}],
      "logConfiguration": {"logDriver": "awslogs", "options": {
        "awslogs-group": "/demo/web", "awslogs-region": "us-east-1",
        "awslogs-create-group": "true", "awslogs-stream-prefix": "demo"}}
    }
  ]
}
JSON
printf '\n\033[1m$ cat web.json\033[0m\n'
cat "$work/web.json"
run aws ecs register-task-definition --cli-input-json "file://$work/web.json" --query 'taskDefinition.taskDefinitionArn' --output text
run aws ecs run-task --cluster demo --task-definition web --started-by demo --query 'tasks[0].taskArn' --output text | tee "$work/run.out"
task=$(tail -1 "$work/run.out")
run aws ecs wait tasks-running --cluster demo --tasks "$task"
run aws ecs describe-tasks --cluster demo --tasks "$task" --output json
port=$(aws ecs describe-tasks --cluster demo --tasks "$task" --query 'tasks[0].containers[?name==`web`].networkBindings[0].hostPort | [0]' --output text)

printf '\n\033[1m$ gantry logs -f %s worker &\033[0m\n' "${task##*/}"
: >"$work/follow.log" # the background may make it too late to be counted
gantry logs -f "${task##*/}" worker >"$work/follow.log" 2>&1 &
follower=$!
while [ "$(wc -l <"$work/follow.log")" -lt 3 ]; do
	kill -0 "$follower" 2>/dev/null || { cat "$work/follow.log"; exit 1; }
	sleep 0.1
done
kill "$follower" && wait "$follower" 2>/dev/null || true
cat "$work/follow.log"

run curl -sS "http://127.0.0.1:$port/"
run aws ecs stop-task --cluster demo --task "$task" --reason "the demo is over" --query 'task.desiredStatus' --output text
if aws logs tail help >/dev/null 2>&1 && aws --version 2>&1 | grep -q '^aws-cli/2'; then
	run aws logs tail /demo/web --since 1m
else
	run aws logs filter-log-events --log-group-name /demo/web --query 'events[].message' --output text
fi
run aws ecs wait tasks-stopped --cluster demo --tasks "$task"
run aws ecs describe-tasks --cluster demo --tasks "$task" --output json \
	--query 'tasks[0].{lastStatus:lastStatus,stopCode:stopCode,stoppedReason:stoppedReason,containers:containers[].{name:name,exitCode:exitCode}}'
run gantry down --data-dir "$data"
wait "$server" 2>/dev/null || true
printf '\nThe demo took %s ms and left nothing behind.\n' $((($(date +%s%N) - started) / 1000000))
