use axum::{routing::get, Router};

fn main() {
    let _: Router = Router::new().route("/healthz", get(|| async { "ok" }));
}
