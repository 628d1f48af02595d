// C++'s rapidjson; the protocol is told in python.py.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <string>
#include <rapidjson/document.h>
#include <rapidjson/error/en.h>
#include <rapidjson/rapidjson.h>

static bool deep;  // a value that is too deep for this recursion is told as `?`

static void dump(const rapidjson::Value &value, std::string &into, int depth = 0) {
  if (depth > 2000) {
    deep = true;
    return;
  }
  if (value.IsNull()) into += 'n';
  else if (value.IsBool()) into += value.GetBool() ? 't' : 'f';
  else if (value.IsInt64()) into += "i" + std::to_string(value.GetInt64()) + ";";
  else if (value.IsUint64()) into += "i" + std::to_string(value.GetUint64()) + ";";
  else if (value.IsNumber()) {
    double number = value.GetDouble();
    if (std::trunc(number) == number && std::fabs(number) < 9007199254740992.0) {
      into += "i" + std::to_string((long long)number) + ";";
      return;
    }
    unsigned long long bits;
    std::memcpy(&bits, &number, 8);
    char hex[18];
    std::snprintf(hex, sizeof hex, "d%016llx", bits);
    into += hex;
  } else if (value.IsString()) {
    into += "s" + std::to_string(value.GetStringLength()) + ":";
    into.append(value.GetString(), value.GetStringLength());
  } else if (value.IsArray()) {
    into += '[';
    for (const auto &each : value.GetArray()) dump(each, into, depth + 1);
    into += ']';
  } else {
    into += '{';
    for (const auto &each : value.GetObject()) {
      dump(each.name, into, depth + 1);
      dump(each.value, into, depth + 1);
    }
    into += '}';
  }
}

static void answer(char sign, const std::string &data) {
  std::cout << data.size() + 1 << '\n' << sign << data << std::flush;
}

int main() {
  std::ios::sync_with_stdio(false);
  answer('=', RAPIDJSON_VERSION_STRING);
  std::string line;
  while (std::getline(std::cin, line)) {
    std::string data(std::stoul(line), '\0');
    if (!std::cin.read(&data[0], data.size())) return 0;
    rapidjson::Document value;
    value.Parse<rapidjson::kParseValidateEncodingFlag>(data.data(), data.size());
    if (value.HasParseError()) {
      answer('-', rapidjson::GetParseError_En(value.GetParseError()));
      continue;
    }
    std::string into;
    deep = false;
    dump(value, into);
    answer('+', deep ? "?" : into);
  }
}
