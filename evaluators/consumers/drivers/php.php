<?php
// PHP's reader: `php -n php.php`. The protocol is told in python.py.
function answer(string $sign, string $data): void {
    fwrite(STDOUT, (strlen($data) + 1) . "\n" . $sign . $data);
}
function dump(mixed $value): string {
    if ($value === null) return 'n';
    if (is_bool($value)) return $value ? 't' : 'f';
    if (is_int($value)) return "i$value;";
    if (is_float($value)) {
        if (is_finite($value) && floor($value) == $value && abs($value) < 2 ** 53)
            return 'i' . (int) $value . ';';
        return 'd' . bin2hex(pack('E', $value));
    }
    if (is_string($value)) return 's' . strlen($value) . ":$value";
    $parts = '';
    if (is_array($value)) {
        foreach ($value as $each) $parts .= dump($each);
        return "[$parts]";
    }
    foreach (get_object_vars($value) as $key => $each) $parts .= dump((string) $key) . dump($each);
    return '{' . $parts . '}';
}
answer('=', PHP_VERSION);
while (($size = fgets(STDIN)) !== false) {
    $data = '';
    while (strlen($data) < (int) $size) {
        $part = fread(STDIN, (int) $size - strlen($data));
        if ($part === false || $part === '') exit;
        $data .= $part;
    }
    try {
        $value = json_decode($data, false, 512, JSON_THROW_ON_ERROR);
    } catch (Throwable $error) {
        answer('-', $error->getMessage());
        continue;
    }
    answer('+', dump($value));
}
