# AWS as production stands on it. `terraform init -backend-config=…`, `terraform plan -var-file=production.tfvars`.
terraform {
  required_version = ">= 1.9"
  required_providers {
    aws    = { source = "hashicorp/aws", version = "~> 6.0" }
    random = { source = "hashicorp/random", version = "~> 3.6" }
    tls    = { source = "hashicorp/tls", version = "~> 4.0" }
  }
  backend "s3" {} # bucket, key and region are given at init; the state holds passwords: encrypt it
}

provider "aws" {
  region = var.region
  default_tags { tags = local.tags }
}

provider "aws" { # where copies of what is irreplaceable lie
  alias  = "copy"
  region = var.copy_region
  default_tags { tags = local.tags }
}

locals {
  name = "learnrec-${var.environment}"
  tags = { project = "learnrec", environment = var.environment, made_by = "terraform" }
}
