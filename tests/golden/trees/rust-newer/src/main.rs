fn main() {
    println!("stands for a server");
}
