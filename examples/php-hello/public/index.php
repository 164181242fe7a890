<?php

declare(strict_types=1);

use Hello\Colours;

require __DIR__ . '/../vendor/autoload.php';

switch (parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH)) {
    case '/':
        echo '<!doctype html><link rel="stylesheet" href="/style.css"><title>Hello</title><h1>Hello from PHP</h1>';
        break;
    case '/colours':
        header('Content-Type: application/json');
        echo json_encode(Colours::all());
        break;
    default:
        http_response_code(404);
        echo 'not found';
}
