data "google_client_config" "current" {}

provider "kubernetes" {
  host                   = "https://${google_container_cluster.own.endpoint}"
  token                  = data.google_client_config.current.access_token
  cluster_ca_certificate = base64decode(google_container_cluster.own.master_auth[0].cluster_ca_certificate)
}

provider "helm" {
  kubernetes {
    host                   = "https://${google_container_cluster.own.endpoint}"
    token                  = data.google_client_config.current.access_token
    cluster_ca_certificate = base64decode(google_container_cluster.own.master_auth[0].cluster_ca_certificate)
  }
}

locals {
  registry = "${var.region}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.images.repository_id}"
}

resource "kubernetes_namespace" "own" {
  metadata {
    name = "leeward"
  }
  depends_on = [google_container_node_pool.platform]
}

resource "kubernetes_secret" "database" {
  metadata {
    name      = "leeward-database"
    namespace = kubernetes_namespace.own.metadata[0].name
  }
  data = {
    url = "postgresql://leeward:${random_password.database.result}@${google_sql_database_instance.own.private_ip_address}:5432/${google_sql_database.own.name}"
  }
}

resource "helm_release" "own" {
  name      = "leeward"
  namespace = kubernetes_namespace.own.metadata[0].name
  chart     = "${path.module}/../../helm/leeward"

  values = [yamlencode({
    domain = var.domain
    image  = var.image
    database = {
      secret = kubernetes_secret.database.metadata[0].name
    }
    settings = {
      registry = local.registry
    }
    nodeSelector = { "leeward.dev/pool" = "platform" }
    tolerations  = [{ key = "leeward.dev/pool", operator = "Exists" }]
  })]
  depends_on = [google_sql_user.own]
}
