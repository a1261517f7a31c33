# What is watched on Google Cloud: metrics out of the services' log lines, alerts, uptime checks, one dashboard.
#   terraform init && terraform plan -var project=PROJECT -var 'emails=["you@example.org"]' -var elections_host=… -var events_host=…
# The metrics and alerts themselves are data (metrics.yaml, alerts.yaml), so that the tests can hold each field they
# name against a real log line; see README.md.
terraform {
  required_version = ">= 1.5"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 6.0"
    }
  }
}

variable "project" {
  description = "Google Cloud project of the services."
  type        = string
}

variable "emails" {
  description = "Who is told."
  type        = list(string)
}

variable "elections_host" {
  description = "Host of elections, as in its URL."
  type        = string
}

variable "events_host" {
  description = "Host of events, as in its URL."
  type        = string
}

variable "max_connections" {
  description = "Connections of the database: 25 on db-f1-micro, 50 on db-g1-small."
  type        = number
  default     = 25
}

variable "expected_instances" {
  description = "Instances of elections while a hall votes; what deploy/meeting warms."
  type        = number
  default     = 4
}

provider "google" {
  project = var.project
}

locals {
  metrics = yamldecode(file("${path.module}/metrics.yaml"))
  alerts  = yamldecode(templatefile("${path.module}/alerts.yaml", { connections_80 = var.max_connections * 0.8, expected_instances = var.expected_instances }))
  hosts   = { elections = var.elections_host, events = var.events_host }
}

resource "google_logging_metric" "from_logs" {
  for_each        = local.metrics
  name            = each.key
  description     = each.value.description
  filter          = join(" AND ", concat(["resource.type=\"cloud_run_revision\""], each.value.filter))
  value_extractor = lookup(each.value, "value", null)
  label_extractors = {
    for name, field in each.value.labels : name => "EXTRACT(${field})"
  }

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = lookup(each.value, "value", null) == null ? "INT64" : "DISTRIBUTION"
    unit        = lookup(each.value, "unit", "1")

    dynamic "labels" {
      for_each = each.value.labels
      content {
        key        = labels.key
        value_type = "STRING"
      }
    }
  }
}

resource "google_monitoring_notification_channel" "email" {
  for_each     = toset(var.emails)
  display_name = each.value
  type         = "email"
  labels       = { email_address = each.value }
}

resource "google_monitoring_alert_policy" "alert" {
  for_each              = local.alerts
  display_name          = each.value.title
  combiner              = each.value.combiner
  severity              = each.value.severity
  notification_channels = [for channel in google_monitoring_notification_channel.email : channel.id]
  depends_on            = [google_logging_metric.from_logs]

  documentation {
    content   = each.value.what_to_do
    mime_type = "text/markdown"
  }

  dynamic "conditions" {
    for_each = each.value.conditions
    content {
      display_name = conditions.value.name

      condition_threshold {
        filter             = join(" AND ", conditions.value.filter)
        denominator_filter = contains(keys(conditions.value), "of") ? join(" AND ", conditions.value.of) : null
        comparison         = conditions.value.comparison
        threshold_value    = conditions.value.threshold
        duration           = conditions.value.duration

        aggregations {
          alignment_period     = "60s"
          per_series_aligner   = conditions.value.aligner
          cross_series_reducer = "REDUCE_SUM"
        }

        dynamic "denominator_aggregations" {
          for_each = contains(keys(conditions.value), "of") ? [1] : []
          content {
            alignment_period     = "60s"
            per_series_aligner   = conditions.value.aligner
            cross_series_reducer = "REDUCE_SUM"
          }
        }
      }
    }
  }

  alert_strategy {
    auto_close = "1800s"
  }
}

resource "google_monitoring_uptime_check_config" "health" {
  for_each     = local.hosts
  display_name = "${each.key} /health"
  timeout      = "10s"
  period       = "300s"

  http_check {
    path         = "/health"
    port         = 443
    use_ssl      = true
    validate_ssl = true
  }

  monitored_resource {
    type   = "uptime_url"
    labels = { project_id = var.project, host = each.value }
  }

  content_matchers {
    content = "\"service\":\"${each.key}\""
    matcher = "CONTAINS_STRING"
  }
}

resource "google_monitoring_dashboard" "voting" {
  dashboard_json = file("${path.module}/dashboard.json")
  depends_on     = [google_logging_metric.from_logs]
}
