defmodule Shop.Umbrella.MixProject do
  use Mix.Project

  def project do
    [
      apps_path: "apps",
      version: "1.0.0",
      deps: [],
      releases: [
        shop: [applications: [shop_web: :permanent, prices: :permanent]]
      ]
    ]
  end
end
