# Who may what: the cluster, its machines, and service accounts of pods, each through the cluster's identity provider.
data "aws_iam_policy_document" "assumed_by" {
  for_each = toset(["eks", "ec2", "s3"])
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["${each.key}.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "cluster" {
  name               = "${local.name}-cluster"
  assume_role_policy = data.aws_iam_policy_document.assumed_by["eks"].json
}

resource "aws_iam_role_policy_attachment" "cluster" {
  role       = aws_iam_role.cluster.name
  policy_arn = "arn:aws:iam::aws:policy/AmazonEKSClusterPolicy"
}

resource "aws_iam_role" "machines" {
  name               = "${local.name}-machines"
  assume_role_policy = data.aws_iam_policy_document.assumed_by["ec2"].json
}

resource "aws_iam_role_policy_attachment" "machines" {
  for_each   = toset(["AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistryReadOnly"])
  role       = aws_iam_role.machines.name
  policy_arn = "arn:aws:iam::aws:policy/${each.key}"
}

resource "aws_iam_openid_connect_provider" "cluster" {
  url            = aws_eks_cluster.main.identity[0].oidc[0].issuer
  client_id_list = ["sts.amazonaws.com"]
}

locals {
  issuer = replace(aws_eks_cluster.main.identity[0].oidc[0].issuer, "https://", "")
  accounts = {
    ray     = ["system:serviceaccount:learnrec:learnrec-head", "system:serviceaccount:learnrec:learnrec-worker"]
    secrets = ["system:serviceaccount:external-secrets:external-secrets"]
    ebs     = ["system:serviceaccount:kube-system:ebs-csi-controller-sa"]
  }
}

data "aws_iam_policy_document" "accounts" {
  for_each = local.accounts
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]
    principals {
      type        = "Federated"
      identifiers = [aws_iam_openid_connect_provider.cluster.arn]
    }
    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:sub"
      values   = each.value
    }
    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:aud"
      values   = ["sts.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "accounts" {
  for_each           = local.accounts
  name               = "${local.name}-${each.key}" # kuberay/overlays/production/accounts.yaml names that of `ray`
  assume_role_policy = data.aws_iam_policy_document.accounts[each.key].json
}

data "aws_iam_policy_document" "ray" {
  statement {
    actions   = ["s3:ListBucket", "s3:GetBucketLocation"]
    resources = [aws_s3_bucket.objects.arn]
  }
  statement {
    actions   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
    resources = ["${aws_s3_bucket.objects.arn}/*"]
  }
  statement {
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [aws_kms_key.main.arn]
  }
}

resource "aws_iam_role_policy" "ray" {
  name   = "objects"
  role   = aws_iam_role.accounts["ray"].id
  policy = data.aws_iam_policy_document.ray.json
}

data "aws_iam_policy_document" "secrets" {
  statement {
    actions   = ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"]
    resources = [for secret in aws_secretsmanager_secret.learnrec : secret.arn]
  }
  statement {
    actions   = ["kms:Decrypt"]
    resources = [aws_kms_key.main.arn]
  }
}

resource "aws_iam_role_policy" "secrets" {
  name   = "secrets"
  role   = aws_iam_role.accounts["secrets"].id
  policy = data.aws_iam_policy_document.secrets.json
}

resource "aws_iam_role_policy_attachment" "ebs" {
  role       = aws_iam_role.accounts["ebs"].name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AmazonEBSCSIDriverPolicy"
}

# Machines of `ray up` (ray_cluster.yaml), which have no service accounts: objects and secrets, by their own role.
resource "aws_iam_role" "ray_machines" {
  name               = "${local.name}-ray-machines"
  assume_role_policy = data.aws_iam_policy_document.assumed_by["ec2"].json
}

resource "aws_iam_instance_profile" "ray_machines" {
  name = "${local.name}-ray"
  role = aws_iam_role.ray_machines.name
}

resource "aws_iam_role_policy" "ray_machines" {
  for_each = { objects = data.aws_iam_policy_document.ray.json, secrets = data.aws_iam_policy_document.secrets.json }
  name     = each.key
  role     = aws_iam_role.ray_machines.id
  policy   = each.value
}

resource "aws_iam_role_policy_attachment" "ray_machines" { # the head starts and ends machines
  role       = aws_iam_role.ray_machines.name
  policy_arn = "arn:aws:iam::aws:policy/AmazonEC2FullAccess"
}

resource "aws_iam_role" "replication" {
  name               = "${local.name}-replication"
  assume_role_policy = data.aws_iam_policy_document.assumed_by["s3"].json
}

data "aws_iam_policy_document" "replication" {
  statement {
    actions   = ["s3:GetReplicationConfiguration", "s3:ListBucket"]
    resources = [aws_s3_bucket.objects.arn]
  }
  statement {
    actions   = ["s3:GetObjectVersionForReplication", "s3:GetObjectVersionAcl", "s3:GetObjectVersionTagging"]
    resources = ["${aws_s3_bucket.objects.arn}/*"]
  }
  statement {
    actions   = ["s3:ReplicateObject", "s3:ReplicateDelete", "s3:ReplicateTags"]
    resources = ["${aws_s3_bucket.copy.arn}/*"]
  }
  statement {
    actions   = ["kms:Decrypt"]
    resources = [aws_kms_key.main.arn]
  }
  statement {
    actions   = ["kms:Encrypt"]
    resources = [aws_kms_key.copy.arn]
  }
}

resource "aws_iam_role_policy" "replication" {
  name   = "copies"
  role   = aws_iam_role.replication.id
  policy = data.aws_iam_policy_document.replication.json
}
