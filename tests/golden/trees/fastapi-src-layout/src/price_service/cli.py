def main() -> None:
    print("prices")
