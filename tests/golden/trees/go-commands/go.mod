module example.com/team/shop/v2

go 1.23.0

toolchain go1.26.1
