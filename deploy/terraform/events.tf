# Kafka: three brokers in three zones, every entry on all of them; an entry is accepted when two have it.
resource "aws_msk_configuration" "main" {
  name              = local.name
  kafka_versions    = ["3.8.x"]
  server_properties = <<-EOT
    auto.create.topics.enable=false
    default.replication.factor=3
    min.insync.replicas=2
    log.retention.hours=168
  EOT
}

resource "aws_msk_cluster" "main" {
  cluster_name           = local.name
  kafka_version          = "3.8.x"
  number_of_broker_nodes = var.num_zones
  broker_node_group_info {
    instance_type   = var.broker_class
    client_subnets  = [for subnet in aws_subnet.private : subnet.id]
    security_groups = [aws_security_group.stores.id]
    storage_info {
      ebs_storage_info { volume_size = 200 } # a million events a day are 0.4 GB: seven days, three times, and room
    }
  }
  configuration_info {
    arn      = aws_msk_configuration.main.arn
    revision = aws_msk_configuration.main.latest_revision
  }
  client_authentication {
    sasl { scram = true }
  }
  encryption_info {
    encryption_at_rest_kms_key_arn = aws_kms_key.main.arn
    encryption_in_transit {
      client_broker = "TLS"
      in_cluster    = true
    }
  }
  open_monitoring {
    prometheus {
      jmx_exporter { enabled_in_broker = true }
    }
  }
}

resource "random_password" "events" {
  length  = 40
  special = false
}

resource "aws_secretsmanager_secret" "events" {
  name       = "AmazonMSK_${local.name}" # the prefix is the service's demand
  kms_key_id = aws_kms_key.main.arn
}

resource "aws_secretsmanager_secret_version" "events" {
  secret_id     = aws_secretsmanager_secret.events.id
  secret_string = jsonencode({ username = "learnrec", password = random_password.events.result })
}

resource "aws_msk_scram_secret_association" "main" {
  cluster_arn     = aws_msk_cluster.main.arn
  secret_arn_list = [aws_secretsmanager_secret.events.arn]
  depends_on      = [aws_secretsmanager_secret_version.events]
}
