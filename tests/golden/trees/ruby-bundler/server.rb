# frozen_string_literal: true

require 'colours'
require 'socket'

body = Colours::ALL.join(' ')
server = TCPServer.new('0.0.0.0', Integer(ENV.fetch('PORT')))
loop do
  client = server.accept
  nil until client.gets.to_s.strip.empty?
  client.write("HTTP/1.1 200 OK\r\ncontent-length: #{body.bytesize}\r\nconnection: close\r\n\r\n#{body}")
  client.close
end
