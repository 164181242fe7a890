defmodule ShopWeb.MixProject do
  use Mix.Project

  def project do
    [app: :shop_web, version: "1.0.0", deps: [{:plug_cowboy, "~> 2.7"}, {:prices, in_umbrella: true}]]
  end
end
