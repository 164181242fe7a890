defmodule Hello.Application do
  use Application

  @impl true
  def start(_type, _args) do
    port = Application.fetch_env!(:hello, :port)
    children = [{Task, fn -> Hello.Server.listen(port) end}]
    Supervisor.start_link(children, strategy: :one_for_one)
  end
end
