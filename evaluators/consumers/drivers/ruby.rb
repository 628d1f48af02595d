# Ruby's readers: `ruby ruby.rb json`. The protocol is told in python.py.
require 'date'
STDIN.binmode
STDOUT.binmode
STDOUT.sync = true

def answer(sign, data)
  data = data.b
  STDOUT.write("#{data.bytesize + 1}\n", sign, data)
end

def sized(kind, text)
  data = text.dup.force_encoding('BINARY')
  "#{kind}#{data.bytesize}:".b + data
end

LONGEST = 2_000_000
class TooLong < StandardError; end

def dump(value, into, depth = 0)
  raise TooLong if into.bytesize > LONGEST || depth > 2000
  case value
  when nil then into << 'n'
  when true then into << 't'
  when false then into << 'f'
  when Integer then into << "i#{value};"
  when Float
    whole = value.finite? && value == value.floor && value.abs < 2**53
    into << (whole ? "i#{value.to_i};" : 'd' + [value].pack('G').unpack1('H*'))
  when String then into << sized('s', value)
  when Array
    into << '['
    value.each { |each| dump(each, into, depth + 1) }
    into << ']'
  when Hash
    into << '{'
    value.each { |key, each| [key, each].each { |it| dump(it, into, depth + 1) } }
    into << '}'
  else into << sized('o', value.respond_to?(:iso8601) ? value.iso8601 : value.to_s)
  end
end

begin
  if ARGV[0] == 'json'
    require 'json'
    version = JSON::VERSION
    read = ->(text) { JSON.parse(text) }
  elsif ARGV[0] == 'csv'
    require 'csv'
    version = CSV::VERSION
    read = ->(text) { CSV.parse(text) }
  else
    require 'yaml'
    version = Psych::VERSION
    read = ->(text) { YAML.safe_load(text, permitted_classes: [Date, Time, Symbol], aliases: true) }
  end
rescue LoadError => error
  answer('!', error.message)
  exit
end
answer('=', version)
while (size = STDIN.gets)
  data = STDIN.read(size.to_i).force_encoding('UTF-8')
  begin
    value = read.call(data)
  rescue StandardError => error
    answer('-', error.message[0, 500])
    next
  end
  into = ''.b
  begin
    dump(value, into)
    answer('+', into)
  rescue TooLong
    answer('+', '?')
  end
end
