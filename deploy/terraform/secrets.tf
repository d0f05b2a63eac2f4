# What kuberay/overlays/production/secrets.yaml copies into the cluster, made of the stores' own passwords.
resource "random_password" "ray" {
  length  = 64
  special = false
}

resource "random_password" "pseudonyms" {
  length  = 64
  special = false
  lifecycle { prevent_destroy = true } # whoever loses it cannot connect old Parquet with learners any more
}

resource "tls_private_key" "receipts" {
  algorithm = "ED25519"
  lifecycle { prevent_destroy = true } # receipts are checked with it for years
}

resource "aws_secretsmanager_secret" "learnrec" {
  for_each                = toset(["settings", "ray"])
  name                    = "learnrec/${var.environment}/${each.key}"
  kms_key_id              = aws_kms_key.main.arn
  recovery_window_in_days = 30
}

locals {
  database_login   = "learnrec:${random_password.database.result}"
  database_address = "${aws_route53_record.database.fqdn}:5432/learnrec?sslmode=require"
  secrets = {
    settings = {
      LEARNREC_POSTGRES_URL        = "postgresql://${local.database_login}@${local.database_address}"
      LEARNREC_REDIS_URL           = "rediss://:${random_password.cache.result}@${local.cache_address}:6379/0"
      LEARNREC_KAFKA_SASL_USERNAME = "learnrec"
      LEARNREC_KAFKA_SASL_PASSWORD = random_password.events.result
      LEARNREC_PSEUDONYM_KEYS      = random_password.pseudonyms.result
      LEARNREC_RECEIPT_KEY         = tls_private_key.receipts.private_key_pem_pkcs8
    }
    ray = {
      auth_token     = random_password.ray.result
      redis_password = random_password.cache.result
    }
  }
  cache_address = aws_elasticache_replication_group.main.primary_endpoint_address
}

resource "aws_secretsmanager_secret_version" "learnrec" {
  for_each      = local.secrets
  secret_id     = aws_secretsmanager_secret.learnrec[each.key].id
  secret_string = jsonencode(each.value)
}
