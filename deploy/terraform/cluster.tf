# Kubernetes, and two groups of machines: what serves stands on machines of its own, jobs on spot ones that come and go.
resource "aws_kms_key" "main" {
  description             = "${local.name}: disks, secrets, stores"
  enable_key_rotation     = true
  deletion_window_in_days = 30
}

resource "aws_eks_cluster" "main" {
  name     = local.name
  version  = var.kubernetes_version
  role_arn = aws_iam_role.cluster.arn
  vpc_config {
    subnet_ids              = [for subnet in aws_subnet.private : subnet.id]
    endpoint_private_access = true
    endpoint_public_access  = length(var.api_clients) > 0
    public_access_cidrs     = length(var.api_clients) > 0 ? var.api_clients : null
  }
  access_config { authentication_mode = "API" }
  encryption_config {
    resources = ["secrets"]
    provider { key_arn = aws_kms_key.main.arn }
  }
  enabled_cluster_log_types = ["api", "audit", "authenticator"]
  depends_on                = [aws_iam_role_policy_attachment.cluster]
}

resource "aws_eks_addon" "main" {
  for_each                    = toset(["vpc-cni", "coredns", "kube-proxy", "aws-ebs-csi-driver"])
  cluster_name                = aws_eks_cluster.main.name
  addon_name                  = each.key
  resolve_conflicts_on_update = "PRESERVE"
  # Without it network policies are words.
  configuration_values     = each.key == "vpc-cni" ? jsonencode({ enableNetworkPolicy = "true" }) : null
  service_account_role_arn = each.key == "aws-ebs-csi-driver" ? aws_iam_role.accounts["ebs"].arn : null
}

resource "aws_launch_template" "machine" {
  name_prefix = "${local.name}-"
  metadata_options {
    http_tokens                 = "required"
    http_put_response_hop_limit = 1 # pods do not get the machine's role
  }
  block_device_mappings {
    device_name = "/dev/xvda"
    ebs {
      volume_size = 100
      volume_type = "gp3"
      encrypted   = true
    }
  }
}

resource "aws_eks_node_group" "serve" {
  cluster_name    = aws_eks_cluster.main.name
  node_group_name = "serve"
  node_role_arn   = aws_iam_role.machines.arn
  subnet_ids      = [for subnet in aws_subnet.private : subnet.id]
  capacity_type   = "ON_DEMAND"
  instance_types  = ["m7i.2xlarge"] # a pod of the group `serve` has 4 cores and 11 GiB
  scaling_config {
    min_size     = 3
    desired_size = 3
    max_size     = 12
  }
  update_config { max_unavailable = 1 }
  launch_template {
    id      = aws_launch_template.machine.id
    version = aws_launch_template.machine.latest_version
  }
  lifecycle { ignore_changes = [scaling_config[0].desired_size] } # the autoscaler's
}

resource "aws_eks_node_group" "batch" {
  cluster_name    = aws_eks_cluster.main.name
  node_group_name = "batch"
  node_role_arn   = aws_iam_role.machines.arn
  subnet_ids      = [for subnet in aws_subnet.private : subnet.id]
  capacity_type   = "SPOT"
  instance_types  = ["m7i.4xlarge", "m7a.4xlarge", "m6i.4xlarge"] # of several kinds some is always to be had
  scaling_config {
    min_size     = 0
    desired_size = 0
    max_size     = 8
  }
  taint { # kuberay/base/rayservice.yaml tolerates it in the group `batch` alone
    key    = "learnrec/spot"
    value  = "true"
    effect = "NO_SCHEDULE"
  }
  launch_template {
    id      = aws_launch_template.machine.id
    version = aws_launch_template.machine.latest_version
  }
  lifecycle { ignore_changes = [scaling_config[0].desired_size] }
}
