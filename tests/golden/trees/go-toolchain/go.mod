module example.com/colours

go 1.25

toolchain go1.26.2
