# PostgreSQL in two zones; lost at most five minutes, and any second of the last 35 days can be gone back to.
resource "random_password" "database" {
  length  = 40
  special = false # it is part of a URL
}

resource "aws_db_subnet_group" "main" {
  name       = local.name
  subnet_ids = [for subnet in aws_subnet.private : subnet.id]
}

resource "aws_db_parameter_group" "main" {
  name   = "${local.name}-postgres17"
  family = "postgres17"
  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }
}

resource "aws_db_instance" "main" {
  identifier                      = local.name
  engine                          = "postgres"
  engine_version                  = "17"
  auto_minor_version_upgrade      = true
  instance_class                  = var.database_class
  allocated_storage               = 100
  max_allocated_storage           = 1000
  storage_type                    = "gp3"
  storage_encrypted               = true
  kms_key_id                      = aws_kms_key.main.arn
  db_name                         = "learnrec"
  username                        = "learnrec"
  password                        = random_password.database.result
  multi_az                        = true
  db_subnet_group_name            = aws_db_subnet_group.main.name
  parameter_group_name            = aws_db_parameter_group.main.name
  vpc_security_group_ids          = [aws_security_group.stores.id]
  backup_retention_period         = 35 # the most there is
  backup_window                   = "00:30-01:30"
  maintenance_window              = "sun:04:00-sun:05:00"
  copy_tags_to_snapshot           = true
  deletion_protection             = true
  skip_final_snapshot             = false
  final_snapshot_identifier       = "${local.name}-last"
  performance_insights_enabled    = true
  enabled_cloudwatch_logs_exports = ["postgresql"]
}

resource "aws_db_instance_automated_backups_replication" "main" { # a region that is lost does not take the backups
  provider               = aws.copy
  source_db_instance_arn = aws_db_instance.main.arn
  kms_key_id             = aws_kms_key.copy.arn
  retention_period       = 35
}

resource "aws_route53_record" "database" {
  zone_id = aws_route53_zone.internal.zone_id
  name    = "postgresql"
  type    = "CNAME"
  ttl     = 30
  records = [aws_db_instance.main.address]
}
