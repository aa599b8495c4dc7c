# What TestTerraform applies: services by launch type, by capacity providers, by a cluster's default
# ones, and by task sets, and what they need.
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

provider "aws" {}

variable "name" { type = string }

variable "image" { type = string }

resource "aws_ecs_cluster" "this" {
  name = var.name
  setting {
    name  = "containerInsights"
    value = "disabled"
  }
  tags = { team = "blue" }
}

resource "aws_ecs_capacity_provider" "this" {
  name = var.name
  auto_scaling_group_provider {
    auto_scaling_group_arn         = "arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:57ffcb94-11f0-4d6d-bf60-3bac5EXAMPLE:autoScalingGroupName/${var.name}-group"
    managed_termination_protection = "DISABLED"
    managed_scaling {
      status = "DISABLED"
    }
  }
}

resource "aws_ecs_capacity_provider" "scaled" {
  name = "${var.name}-scaled"
  auto_scaling_group_provider {
    auto_scaling_group_arn         = "arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:57ffcb94-11f0-4d6d-bf60-3bac6EXAMPLE:autoScalingGroupName/${var.name}-scaled-group"
    managed_termination_protection = "ENABLED"
    managed_draining               = "DISABLED"
    managed_scaling {
      status                    = "ENABLED"
      target_capacity           = 80
      minimum_scaling_step_size = 2
      maximum_scaling_step_size = endswith(var.image, "web:latest") ? 10 : 20
      instance_warmup_period    = 60
    }
  }
  tags = { team = "blue" }
}

resource "aws_ecs_cluster_capacity_providers" "this" {
  cluster_name       = aws_ecs_cluster.this.name
  capacity_providers = [aws_ecs_capacity_provider.this.name, aws_ecs_capacity_provider.scaled.name]
  default_capacity_provider_strategy {
    capacity_provider = aws_ecs_capacity_provider.this.name
    base              = 1
    weight            = 100
  }
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/ecs/${var.name}"
  retention_in_days = 7
  tags              = { team = "blue" }
}

resource "aws_ecs_task_definition" "this" {
  family                   = var.name
  network_mode             = "bridge"
  requires_compatibilities = ["EC2"]
  cpu                      = "128"
  memory                   = "64"
  container_definitions = jsonencode([{
    name         = "web"
    image        = var.image
    essential    = true
    environment  = [{ name = "GREETING", value = "hello" }]
    portMappings = [{ containerPort = 8080, protocol = "tcp" }]
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.this.name
        awslogs-region        = "us-east-1"
        awslogs-stream-prefix = "web"
      }
    }
  }])
  tags = { team = "blue" }
}

resource "aws_ecs_service" "this" {
  name                               = "web"
  cluster                            = aws_ecs_cluster.this.arn
  task_definition                    = aws_ecs_task_definition.this.arn
  desired_count                      = 2
  launch_type                        = "EC2"
  deployment_minimum_healthy_percent = 50
  deployment_maximum_percent         = 150
  enable_ecs_managed_tags            = true
  propagate_tags                     = "SERVICE"
  wait_for_steady_state              = true
  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }
  ordered_placement_strategy {
    type  = "binpack"
    field = "memory"
  }
  placement_constraints {
    type       = "memberOf"
    expression = "attribute:ecs.os-type == linux"
  }
  tags = { team = "blue" }
}

# All of its tasks are the first provider's.
resource "aws_ecs_service" "strategy" {
  name                  = "strategy"
  cluster               = aws_ecs_cluster.this.arn
  task_definition       = aws_ecs_task_definition.this.arn
  desired_count         = 2
  wait_for_steady_state = true
  capacity_provider_strategy {
    capacity_provider = aws_ecs_capacity_provider.this.name
    base              = 1
    weight            = 1
  }
  capacity_provider_strategy {
    capacity_provider = aws_ecs_capacity_provider.scaled.name
    weight            = 0
  }
  depends_on = [aws_ecs_cluster_capacity_providers.this]
}

# By the cluster's default strategy. ECS answers it as the service's own, which the provider takes for
# a change of the service unless it is told not to look, on AWS too.
resource "aws_ecs_service" "default" {
  name                  = "default"
  cluster               = aws_ecs_cluster.this.arn
  task_definition       = aws_ecs_task_definition.this.arn
  desired_count         = 1
  wait_for_steady_state = true
  depends_on            = [aws_ecs_cluster_capacity_providers.this]
  lifecycle {
    ignore_changes = [capacity_provider_strategy]
  }
}

# In a cluster with a default strategy only a launch type lets it be, on AWS too.
resource "aws_ecs_service" "daemon" {
  name                  = "daemon"
  cluster               = aws_ecs_cluster.this.arn
  task_definition       = aws_ecs_task_definition.this.arn
  launch_type           = "EC2"
  scheduling_strategy   = "DAEMON"
  wait_for_steady_state = true
}

resource "aws_ecs_service" "external" {
  name          = "external"
  cluster       = aws_ecs_cluster.this.arn
  desired_count = 1
  deployment_controller {
    type = "EXTERNAL"
  }
}

resource "aws_ecs_task_set" "this" {
  cluster           = aws_ecs_cluster.this.arn
  service           = aws_ecs_service.external.id
  task_definition   = aws_ecs_task_definition.this.arn
  force_delete      = true
  wait_until_stable = true
  depends_on        = [aws_ecs_cluster_capacity_providers.this]
  capacity_provider_strategy {
    capacity_provider = aws_ecs_capacity_provider.this.name
    weight            = 1
  }
  scale {
    unit  = "PERCENT"
    value = 100
  }
  tags = { team = "blue" }
}

output "caller" { value = data.aws_caller_identity.this.arn }

data "aws_caller_identity" "this" {}
