// C++'s nlohmann/json; the protocol is told in python.py.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <string>
#include <nlohmann/json.hpp>
using nlohmann::json;

static void text(const std::string &value, std::string &into) {
  into += "s" + std::to_string(value.size()) + ":" + value;
}

static bool deep;  // a value that is too deep for this recursion is told as `?`

static void dump(const json &value, std::string &into, int depth = 0) {
  if (depth > 2000) {
    deep = true;
    return;
  }
  switch (value.type()) {
    case json::value_t::boolean: into += value.get<bool>() ? 't' : 'f'; break;
    case json::value_t::number_integer: into += "i" + std::to_string(value.get<int64_t>()) + ";"; break;
    case json::value_t::number_unsigned: into += "i" + std::to_string(value.get<uint64_t>()) + ";"; break;
    case json::value_t::number_float: {
      double number = value.get<double>();
      if (std::trunc(number) == number && std::fabs(number) < 9007199254740992.0) {
        into += "i" + std::to_string((long long)number) + ";";
        break;
      }
      unsigned long long bits;
      std::memcpy(&bits, &number, 8);
      char hex[18];
      std::snprintf(hex, sizeof hex, "d%016llx", bits);
      into += hex;
      break;
    }
    case json::value_t::string: text(value.get_ref<const std::string &>(), into); break;
    case json::value_t::array:
      into += '[';
      for (const auto &each : value) dump(each, into, depth + 1);
      into += ']';
      break;
    case json::value_t::object:
      into += '{';
      for (const auto &each : value.items()) {
        text(each.key(), into);
        dump(each.value(), into, depth + 1);
      }
      into += '}';
      break;
    default: into += 'n';
  }
}

static void answer(char sign, const std::string &data) {
  std::cout << data.size() + 1 << '\n' << sign << data << std::flush;
}

int main() {
  std::ios::sync_with_stdio(false);
  answer('=', std::to_string(NLOHMANN_JSON_VERSION_MAJOR) + "." +
                  std::to_string(NLOHMANN_JSON_VERSION_MINOR) + "." +
                  std::to_string(NLOHMANN_JSON_VERSION_PATCH));
  std::string line;
  while (std::getline(std::cin, line)) {
    std::string data(std::stoul(line), '\0');
    if (!std::cin.read(&data[0], data.size())) return 0;
    json value;
    try {
      value = json::parse(data);
    } catch (const std::exception &error) {
      answer('-', error.what());
      continue;
    }
    std::string into;
    deep = false;
    dump(value, into);
    answer('+', deep ? "?" : into);
  }
}
