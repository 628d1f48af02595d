// Java's Jackson: `java -cp ... Jackson.java`. The protocol is told in python.py.
import com.fasterxml.jackson.core.json.PackageVersion;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.*;
import java.nio.charset.StandardCharsets;
import java.util.*;

public class Jackson {
  static void text(String value, ByteArrayOutputStream into) {
    ByteArrayOutputStream data = new ByteArrayOutputStream();
    value.codePoints().forEach(each -> {
      if (each >= 0xd800 && each <= 0xdfff) { // a lone surrogate, as UTF-8 would have it
        data.write(0xe0 | each >> 12);
        data.write(0x80 | each >> 6 & 63);
        data.write(0x80 | each & 63);
      } else data.writeBytes(Character.toString(each).getBytes(StandardCharsets.UTF_8));
    });
    into.writeBytes(("s" + data.size() + ":").getBytes());
    into.writeBytes(data.toByteArray());
  }

  static boolean deep; // a value that is too deep for this recursion is told as `?`

  static void dump(Object value, ByteArrayOutputStream into, int depth) {
    if (depth > 1000) {
      deep = true;
      return;
    }
    if (value == null) into.write('n');
    else if (value instanceof Boolean it) into.write(it ? 't' : 'f');
    else if (value instanceof Double it) {
      if (it == Math.rint(it) && Math.abs(it) < 9007199254740992.0) {
        into.writeBytes(("i" + it.longValue() + ";").getBytes());
      } else {
        into.writeBytes(String.format("d%016x", Double.doubleToRawLongBits(it)).getBytes());
      }
    } else if (value instanceof Number) into.writeBytes(("i" + value + ";").getBytes());
    else if (value instanceof List<?> it) {
      into.write('[');
      for (Object each : it) dump(each, into, depth + 1);
      into.write(']');
    } else if (value instanceof Map<?, ?> it) {
      into.write('{');
      for (Map.Entry<?, ?> each : it.entrySet()) {
        dump(each.getKey(), into, depth + 1);
        dump(each.getValue(), into, depth + 1);
      }
      into.write('}');
    } else text(value.toString(), into);
  }

  static void answer(DataOutputStream out, char sign, byte[] data) throws IOException {
    out.writeBytes((data.length + 1) + "\n" + sign);
    out.write(data);
    out.flush();
  }

  public static void main(String[] arguments) throws IOException {
    DataInputStream in = new DataInputStream(new BufferedInputStream(System.in));
    DataOutputStream out = new DataOutputStream(new BufferedOutputStream(System.out));
    ObjectMapper mapper = new ObjectMapper().enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS);
    answer(out, '=', PackageVersion.VERSION.toString().getBytes());
    for (;;) {
      StringBuilder line = new StringBuilder();
      int each;
      while ((each = in.read()) != '\n') {
        if (each < 0) return;
        line.append((char) each);
      }
      byte[] data = new byte[Integer.parseInt(line.toString())];
      in.readFully(data);
      Object value;
      try {
        value = mapper.readValue(data, Object.class);
      } catch (IOException | RuntimeException error) {
        String said = String.valueOf(error.getMessage());
        said = said.substring(0, Math.min(said.length(), 500));
        answer(out, '-', said.getBytes(StandardCharsets.UTF_8));
        continue;
      }
      ByteArrayOutputStream into = new ByteArrayOutputStream();
      deep = false;
      dump(value, into, 0);
      answer(out, '+', deep ? "?".getBytes() : into.toByteArray());
    }
  }
}
