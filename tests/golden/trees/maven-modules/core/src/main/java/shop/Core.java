package shop;

public class Core {
}
