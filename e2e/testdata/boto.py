"""What scripts do with boto3: types of answers, exceptions, paginators, waiters."""
import datetime
import sys

import boto3

cluster = sys.argv[1]
ecs = boto3.client("ecs")

fast = {"Delay": 1, "MaxAttempts": 90}
definition = ecs.register_task_definition(
    family=cluster,
    containerDefinitions=[{"name": "worker", "image": "gantry/sample-worker:latest", "memory": 32}],
    tags=[{"key": "a", "value": "b"}],
)
assert definition["tags"] == [{"key": "a", "value": "b"}], definition
definition = definition["taskDefinition"]
assert isinstance(definition["registeredAt"], datetime.datetime), definition
age = datetime.datetime.now(datetime.timezone.utc) - definition["registeredAt"]
assert abs(age) < datetime.timedelta(minutes=1), age

run = ecs.run_task(cluster=cluster, taskDefinition=cluster, count=2, startedBy="boto3")
assert run["failures"] == [], run
assert run["ResponseMetadata"]["RequestId"], run
arns = [t["taskArn"] for t in run["tasks"]]
ecs.get_waiter("tasks_running").wait(cluster=cluster, tasks=arns, WaiterConfig=fast)

pages = ecs.get_paginator("list_tasks").paginate(cluster=cluster, PaginationConfig={"PageSize": 1})
listed = [arn for page in pages for arn in page["taskArns"]]
assert sorted(listed) == sorted(arns), listed

for arn in arns:
    ecs.stop_task(cluster=cluster, task=arn, reason="enough")
ecs.get_waiter("tasks_stopped").wait(cluster=cluster, tasks=arns, WaiterConfig=fast)
for task in ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"]:
    assert task["stoppedReason"] == "enough" and task["stopCode"] == "UserInitiated", task
    assert task["startedAt"] <= task["stoppedAt"], task

try:
    ecs.run_task(cluster="nobody-made-this-one", taskDefinition=cluster)
    raise AssertionError("no exception")
except ecs.exceptions.ClusterNotFoundException as e:
    assert e.response["Error"]["Message"] == "Cluster not found.", e.response
    assert e.response["ResponseMetadata"]["HTTPStatusCode"] == 400, e.response

created = ecs.create_service(cluster=cluster, serviceName="web", taskDefinition=cluster, desiredCount=1, clientToken="once")["service"]
again = ecs.create_service(cluster=cluster, serviceName="web", taskDefinition=cluster, desiredCount=1, clientToken="once")["service"]
assert again["deployments"][0]["id"] == created["deployments"][0]["id"], again
ecs.get_waiter("services_stable").wait(cluster=cluster, services=["web"], WaiterConfig=fast)
updated = ecs.update_service(cluster=cluster, service="web", desiredCount=2, forceNewDeployment=True)["service"]
ecs.get_waiter("services_stable").wait(cluster=cluster, services=["web"], WaiterConfig=fast)
deployments = ecs.list_service_deployments(cluster=cluster, service="web", createdAt={"after": created["createdAt"]})["serviceDeployments"]
digits = updated["deployments"][0]["id"].removeprefix("ecs-svc/")
assert len(deployments) == 2 and digits in deployments[0]["targetServiceRevisionArn"], deployments
assert [d["status"] for d in deployments] == ["SUCCESSFUL", "SUCCESSFUL"], deployments
services = [arn for page in ecs.get_paginator("list_services").paginate(cluster=cluster) for arn in page["serviceArns"]]
assert services == [created["serviceArn"]], services
try:
    ecs.delete_service(cluster=cluster, service="web")
    raise AssertionError("no exception")
except ecs.exceptions.InvalidParameterException as e:
    assert e.response["Error"]["Message"] == "The service cannot be stopped while it is scaled above 0.", e.response
ecs.delete_service(cluster=cluster, service="web", force=True)
ecs.get_waiter("services_inactive").wait(cluster=cluster, services=["web"], WaiterConfig=fast)
gone = ecs.describe_services(cluster=cluster, services=["web", "nothing"])
assert gone["services"][0]["status"] == "INACTIVE" and gone["failures"][0]["reason"] == "MISSING", gone

assert boto3.client("sts").get_caller_identity()["Account"] == "123456789012"
