variable "project" {
  description = "Google Cloud project."
  type        = string
}

variable "region" {
  description = "Region of the cluster, the database and the registry, as europe-west3."
  type        = string
}

variable "name" {
  description = "Name of the cluster, and the first word of everything that is made."
  type        = string
  default     = "leeward"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,19}$", var.name))
    error_message = "The name is 1 to 20 lower-case letters, digits and hyphens, and starts with a letter."
  }
}

variable "domain" {
  description = "Apps are served at https://<app>.<domain>."
  type        = string
}

variable "image" {
  description = "Image of the control plane that you built, and its tag: {repository, tag}."
  type = object({
    repository = string
    tag        = string
  })
}

variable "apps_nodes" {
  description = "Nodes for apps: machine type, and the fewest and most per zone."
  type = object({
    machine_type = string
    min          = number
    max          = number
    sandbox      = bool
  })
  default = {
    machine_type = "e2-standard-4"
    min          = 1
    max          = 10
    sandbox      = false
  }
}

variable "platform_machine_type" {
  description = "Machine type of the nodes that hold the control plane."
  type        = string
  default     = "e2-standard-4"
}

variable "database_tier" {
  description = "Tier of the PostgreSQL instance that holds the control plane's state."
  type        = string
  default     = "db-custom-1-3840"
}

variable "deletion_protection" {
  description = "Keep the cluster and the database from being destroyed."
  type        = bool
  default     = true
}
