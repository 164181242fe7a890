package shop;

import jakarta.ws.rs.GET;
import jakarta.ws.rs.Path;

@Path("/")
public class Shop {
    @GET
    public String index() {
        return "Hello from Quarkus";
    }
}
