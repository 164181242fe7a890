namespace Shop.Prices;
