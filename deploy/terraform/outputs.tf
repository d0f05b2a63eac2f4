# What kuberay/overlays/production is told by hand: settings.env, upgrade.yaml and accounts.yaml.
output "cluster" {
  value = aws_eks_cluster.main.name
}

output "kafka_servers" {
  value = aws_msk_cluster.main.bootstrap_brokers_sasl_scram
}

output "redis_address" {
  value = "rediss://${local.cache_address}:6379"
}

output "object_store" {
  value = "s3://${aws_s3_bucket.objects.bucket}"
}

output "ray_role" {
  value = aws_iam_role.accounts["ray"].arn
}
