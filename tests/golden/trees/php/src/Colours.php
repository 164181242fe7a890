<?php

declare(strict_types=1);

namespace Hello;

final class Colours
{
    /** @return list<string> */
    public static function all(): array
    {
        return array_map(mb_strtolower(...), ['Blue', 'Green']);
    }
}
