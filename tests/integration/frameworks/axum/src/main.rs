use axum::{routing::get, Router};

#[tokio::main]
async fn main() {
    let port = std::env::var("PORT").unwrap_or_else(|_| "3000".to_string());
    let listener = tokio::net::TcpListener::bind(format!("0.0.0.0:{port}")).await.unwrap();
    let app = Router::new().route("/", get(|| async { "Hello from Rust" }));
    axum::serve(listener, app).await.unwrap();
}
