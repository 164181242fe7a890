package hello;

import com.google.gson.Gson;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.List;

/** A page, a list and a health check, on the port that the platform says. */
public final class Main {
    private Main() {}

    public static void main(String[] words) throws IOException {
        int port = Integer.parseInt(System.getenv().getOrDefault("PORT", "8080"));
        HttpServer server = HttpServer.create(new InetSocketAddress("0.0.0.0", port), 0);
        answer(server, "/", "text/html", "<!doctype html><title>Hello</title><h1>Hello from Java</h1>");
        answer(server, "/colours", "application/json", new Gson().toJson(List.of("blue", "green")));
        answer(server, "/healthz", "text/plain", "ok");
        server.start();
    }

    private static void answer(HttpServer server, String path, String kind, String text) {
        byte[] body = text.getBytes();
        server.createContext(path, exchange -> {
            exchange.getResponseHeaders().set("content-type", kind);
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
    }
}
