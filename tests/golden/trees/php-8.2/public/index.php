<?php

header("Content-Type: application/json");
echo json_encode(["php" => PHP_MAJOR_VERSION . "." . PHP_MINOR_VERSION, "gd" => function_exists("imagecreate")]);
