# Perl's readers: `perl perl.pl JSON::PP`. The protocol is told in python.py.
use strict;
use warnings;
use B ();
no warnings 'recursion';

my $name = $ARGV[0];
binmode STDIN;
binmode STDOUT;
$| = 1;

sub answer {
    my ($sign, $data) = @_;
    utf8::encode($data) if utf8::is_utf8($data);
    print length($data) + 1, "\n", $sign, $data;
}

if (!eval "require $name; 1") { answer('!', "$name is not installed"); exit }
answer('=', $name->VERSION);

sub scalar_dump {
    my ($value) = @_;
    return 'n' if !defined $value;
    if (ref $value) {
        return $$value ? 't' : 'f' if ref($value) =~ /Boolean/;
        my $text = "$value";
        utf8::encode($text) if utf8::is_utf8($text);
        return 'o' . length($text) . ":$text";
    }
    my $flags = B::svref_2object(\$value)->FLAGS;
    if ($flags & (B::SVf_IOK | B::SVf_NOK) && !($flags & B::SVf_POK)) {
        return "i$value;" if $flags & B::SVf_IOK;
        return sprintf('i%d;', $value) if $value == int($value) && abs($value) < 2**53;
        return 'd' . unpack('H*', pack('d>', $value));
    }
    utf8::encode($value);
    return 's' . length($value) . ":$value";
}

sub dump_value {
    my ($value) = @_;
    return '[' . join('', map { dump_value($_) } @$value) . ']' if ref $value eq 'ARRAY';
    return '{' . join('', map { scalar_dump("$_") . dump_value($value->{$_}) } sort keys %$value) . '}'
        if ref $value eq 'HASH';
    return scalar_dump($value);
}

my $reader = $name->new->utf8->allow_nonref;
while (defined(my $size = <STDIN>)) {
    my $data = '';
    read(STDIN, $data, $size - length $data, length $data) || exit while length $data < $size;
    my $value;
    if (eval { $value = $reader->decode($data); 1 }) { answer('+', dump_value($value)) }
    else { answer('-', substr("$@", 0, 500)) }
}
