# frozen_string_literal: true

require 'json'

routes = {
  '/' => ['text/html', '<!doctype html><title>Hello</title><h1>Hello from Ruby</h1>'],
  '/colours' => ['application/json', JSON.generate(%w[blue green])]
}

run lambda { |request|
  type, body = routes[request['PATH_INFO']]
  type ? [200, { 'content-type' => type }, [body]] : [404, { 'content-type' => 'text/plain' }, ['not found']]
}
