// Go's yaml.v3; the protocol is told in python.py.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

func dump(value any, into *bytes.Buffer) {
	switch it := value.(type) {
	case nil:
		into.WriteByte('n')
	case bool:
		if it {
			into.WriteByte('t')
		} else {
			into.WriteByte('f')
		}
	case float64:
		if it == math.Trunc(it) && math.Abs(it) < 1<<53 {
			fmt.Fprintf(into, "i%d;", int64(it))
		} else {
			fmt.Fprintf(into, "d%016x", math.Float64bits(it))
		}
	case int:
		fmt.Fprintf(into, "i%d;", it)
	case int64:
		fmt.Fprintf(into, "i%d;", it)
	case uint64:
		fmt.Fprintf(into, "i%d;", it)
	case time.Time:
		text := it.Format(time.RFC3339)
		fmt.Fprintf(into, "o%d:%s", len(text), text)
	case string:
		fmt.Fprintf(into, "s%d:%s", len(it), it)
	case []any:
		into.WriteByte('[')
		for _, each := range it {
			dump(each, into)
		}
		into.WriteByte(']')
	case map[any]any:
		into.WriteByte('{')
		for key, each := range it {
			dump(key, into)
			dump(each, into)
		}
		into.WriteByte('}')
	case map[string]any:
		into.WriteByte('{')
		for key, each := range it {
			dump(key, into)
			dump(each, into)
		}
		into.WriteByte('}')
	}
}

func main() {
	in, out := bufio.NewReader(os.Stdin), bufio.NewWriter(os.Stdout)
	answer := func(sign string, data []byte) {
		fmt.Fprintf(out, "%d\n%s%s", len(data)+1, sign, data)
		out.Flush()
	}
	answer("=", []byte("3"))
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		size, _ := strconv.Atoi(strings.TrimSpace(line))
		data := make([]byte, size)
		if _, err := io.ReadFull(in, data); err != nil {
			return
		}
		var value any
		if err := yaml.Unmarshal(data, &value); err != nil {
			answer("-", []byte(err.Error()))
			continue
		}
		var into bytes.Buffer
		dump(value, &into)
		answer("+", into.Bytes())
	}
}
