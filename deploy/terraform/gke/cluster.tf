# Standard, not Autopilot: the control plane's own pods are privileged. Apps need no more than 'restricted'.
resource "google_container_cluster" "own" {
  project             = var.project
  location            = var.region
  name                = var.name
  network             = google_compute_network.own.id
  subnetwork          = google_compute_subnetwork.nodes.id
  deletion_protection = var.deletion_protection

  remove_default_node_pool = true
  initial_node_count       = 1

  release_channel {
    channel = "REGULAR"
  }
  ip_allocation_policy {
    cluster_secondary_range_name  = "pods"
    services_secondary_range_name = "services"
  }
  private_cluster_config {
    enable_private_nodes    = true
    enable_private_endpoint = false
    master_ipv4_cidr_block  = "10.11.0.0/28"
  }
  # The Gateway API with Google's load balancers, and policies between projects that are enforced.
  gateway_api_config {
    channel = "CHANNEL_STANDARD"
  }
  datapath_provider = "ADVANCED_DATAPATH"
  workload_identity_config {
    workload_pool = "${var.project}.svc.id.goog"
  }
  vertical_pod_autoscaling {
    enabled = false
  }
}

resource "google_service_account" "nodes" {
  project      = var.project
  account_id   = "${var.name}-nodes"
  display_name = "Nodes of ${var.name}"
}

resource "google_project_iam_member" "nodes" {
  for_each = toset(["roles/container.defaultNodeServiceAccount"])
  project  = var.project
  role     = each.value
  member   = "serviceAccount:${google_service_account.nodes.email}"
}

resource "google_container_node_pool" "platform" {
  project    = var.project
  location   = var.region
  name       = "platform"
  cluster    = google_container_cluster.own.name
  node_count = 1

  node_config {
    machine_type    = var.platform_machine_type
    service_account = google_service_account.nodes.email
    oauth_scopes    = ["https://www.googleapis.com/auth/cloud-platform"]
    labels          = { "leeward.dev/pool" = "platform" }
    taint {
      key    = "leeward.dev/pool"
      value  = "platform"
      effect = "NO_SCHEDULE"
    }
    workload_metadata_config {
      mode = "GKE_METADATA"
    }
  }
}

resource "google_container_node_pool" "apps" {
  project  = var.project
  location = var.region
  name     = "apps"
  cluster  = google_container_cluster.own.name

  autoscaling {
    min_node_count = var.apps_nodes.min
    max_node_count = var.apps_nodes.max
  }
  node_config {
    machine_type    = var.apps_nodes.machine_type
    image_type      = "COS_CONTAINERD"
    service_account = google_service_account.nodes.email
    oauth_scopes    = ["https://www.googleapis.com/auth/cloud-platform"]
    labels          = { "leeward.dev/pool" = "apps" }
    workload_metadata_config {
      mode = "GKE_METADATA"
    }
    dynamic "sandbox_config" {
      for_each = var.apps_nodes.sandbox ? ["gvisor"] : []
      content {
        sandbox_type = sandbox_config.value
      }
    }
  }
}
