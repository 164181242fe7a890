# What the control planes share, and what they must not lose.
resource "random_password" "database" {
  length  = 32
  special = false
}

resource "google_sql_database_instance" "own" {
  project             = var.project
  region              = var.region
  name                = var.name
  database_version    = "POSTGRES_16"
  deletion_protection = var.deletion_protection
  depends_on          = [google_service_networking_connection.database]

  settings {
    tier              = var.database_tier
    availability_type = "REGIONAL"
    backup_configuration {
      enabled                        = true
      point_in_time_recovery_enabled = true
    }
    ip_configuration {
      ipv4_enabled    = false
      private_network = google_compute_network.own.id
    }
  }
}

resource "google_sql_database" "own" {
  project  = var.project
  name     = "leeward"
  instance = google_sql_database_instance.own.name
}

resource "google_sql_user" "own" {
  project  = var.project
  name     = "leeward"
  instance = google_sql_database_instance.own.name
  password = random_password.database.result
}

resource "google_artifact_registry_repository" "images" {
  project       = var.project
  location      = var.region
  repository_id = var.name
  format        = "DOCKER"
  depends_on    = [google_project_service.used]
}

resource "google_artifact_registry_repository_iam_member" "nodes" {
  project    = var.project
  location   = var.region
  repository = google_artifact_registry_repository.images.name
  role       = "roles/artifactregistry.reader"
  member     = "serviceAccount:${google_service_account.nodes.email}"
}
