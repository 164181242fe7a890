"""Our own buildpacks: these modules run inside the builder image, with nothing but Python's standard library."""
