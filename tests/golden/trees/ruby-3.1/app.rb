require "json"
require "socket"

server = TCPServer.new("0.0.0.0", Integer(ENV.fetch("PORT", "8080")))
$stdout.sync = true

loop do
  Thread.new(server.accept) do |client|
    client.gets
    nil until client.gets.to_s.strip.empty?
    body = JSON.generate(ruby: RUBY_VERSION, colours: %w[blue green])
    client.write("HTTP/1.1 200 OK\r\nContent-Length: #{body.bytesize}\r\nConnection: close\r\n\r\n#{body}")
    client.close
  end
end
