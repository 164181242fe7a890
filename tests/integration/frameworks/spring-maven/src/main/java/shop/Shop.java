package shop;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

@RestController
@SpringBootApplication
public class Shop {
    public static void main(String[] words) {
        SpringApplication.run(Shop.class, words);
    }

    @GetMapping("/")
    String index() {
        return "Hello from Spring";
    }
}
