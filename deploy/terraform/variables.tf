variable "environment" {
  type        = string
  description = "staging or production: part of every name"
  validation {
    condition     = contains(["staging", "production"], var.environment)
    error_message = "It is staging or production."
  }
}

variable "region" {
  type    = string
  default = "eu-central-1"
}

variable "copy_region" {
  type        = string
  default     = "eu-west-1"
  description = "where objects are replicated to; another one than region"
}

variable "network" {
  type        = string
  default     = "10.40.0.0/16" # kuberay/overlays/production/stores.yaml lets pods out to it
  description = "addresses of the VPC"
}

variable "num_zones" {
  type    = number
  default = 3
}

variable "kubernetes_version" {
  type    = string
  default = "1.33"
}

variable "api_clients" {
  type        = list(string)
  default     = []
  description = "networks that may reach the Kubernetes API from outside; none: from within the VPC only"
}

variable "database_class" {
  type    = string
  default = "db.m7g.large"
}

variable "cache_class" {
  type    = string
  default = "cache.m7g.large"
}

variable "broker_class" {
  type    = string
  default = "kafka.m7g.large"
}
