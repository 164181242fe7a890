defmodule Hello.Server do
  @moduledoc "A small HTTP server, so that the app needs no package."

  def listen(port) do
    {:ok, socket} = :gen_tcp.listen(port, [:binary, packet: :http_bin, active: false, reuseaddr: true])
    accept(socket)
  end

  defp accept(socket) do
    {:ok, client} = :gen_tcp.accept(socket)
    spawn(fn -> answer(client) end)
    accept(socket)
  end

  defp answer(client) do
    {:ok, {:http_request, _method, {:abs_path, path}, _version}} = :gen_tcp.recv(client, 0)
    rest(client)
    body = if path == "/health", do: "ok", else: ~s(["blue","green"])
    head = "HTTP/1.1 200 OK\r\nContent-Length: #{byte_size(body)}\r\nConnection: close\r\n\r\n"
    :gen_tcp.send(client, head <> body)
    :gen_tcp.close(client)
  end

  defp rest(client) do
    case :gen_tcp.recv(client, 0) do
      {:ok, :http_eoh} -> :ok
      {:ok, _header} -> rest(client)
    end
  end
end
