package shop.prices;

public final class Prices {}
