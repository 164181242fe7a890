package shop.api

import com.sun.net.httpserver.HttpServer
import java.net.InetSocketAddress

fun main() {
    val server = HttpServer.create(InetSocketAddress(System.getenv("PORT").toInt()), 0)
    server.createContext("/healthz") { it.sendResponseHeaders(204, -1) }
    server.start()
}
