package a;

public class App {
    public static void main(String[] words) {}
}
