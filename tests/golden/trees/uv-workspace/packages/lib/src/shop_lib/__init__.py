def greeting() -> str:
    return "workspace"
