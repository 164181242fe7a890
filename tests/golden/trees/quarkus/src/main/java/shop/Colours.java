package shop;

import jakarta.ws.rs.GET;
import jakarta.ws.rs.Path;

@Path("/colours")
public class Colours {
    @GET
    public String all() {
        return "blue green";
    }
}
