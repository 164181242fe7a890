//! A page, a list and a health check, on the port that the platform says.

use std::env;

use tiny_http::{Header, Response, Server};

fn answer(path: &str) -> (u16, &'static str, &'static str) {
    match path {
        "/" => (200, "text/html", "<!doctype html><title>Hello</title><h1>Hello from Rust</h1>"),
        "/colours" => (200, "application/json", r#"["blue","green"]"#),
        "/healthz" => (200, "text/plain", "ok"),
        _ => (404, "text/plain", "not found"),
    }
}

fn main() {
    let port = env::var("PORT").unwrap_or_else(|_| "8080".into());
    let server = Server::http(format!("0.0.0.0:{port}")).expect("the port is free");
    for request in server.incoming_requests() {
        let (status, kind, body) = answer(request.url());
        let kind = Header::from_bytes("content-type", kind).expect("a header");
        let _ = request.respond(Response::from_string(body).with_status_code(status).with_header(kind));
    }
}
