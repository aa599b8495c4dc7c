# What TestTerraform applies: a service on a capacity provider and one on EC2, and what they need.
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

provider "aws" {}

variable "name" { type = string }

variable "greeting" { type = string }

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
    auto_scaling_group_arn         = "arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:57ffcb94-11f0-4d6d-bf60-3bac5EXAMPLE:autoScalingGroupName/${var.name}"
    managed_termination_protection = "DISABLED"
    managed_scaling {
      status = "DISABLED"
    }
  }
}

resource "aws_ecs_cluster_capacity_providers" "this" {
  cluster_name       = aws_ecs_cluster.this.name
  capacity_providers = [aws_ecs_capacity_provider.this.name]
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
    image        = "gantry/sample-web:latest"
    essential    = true
    environment  = [{ name = "GREETING", value = var.greeting }]
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
  launch_type       = "EC2"
  force_delete      = true
  wait_until_stable = true
  scale {
    unit  = "PERCENT"
    value = 100
  }
  tags = { team = "blue" }
}

output "caller" { value = data.aws_caller_identity.this.arn }

data "aws_caller_identity" "this" {}
