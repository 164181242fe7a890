import Config

config :shop, ecto_repos: [Shop.Repo]
