"""Small pieces of code, one a paragraph, that ordinary prompts ask about.

SNIPPETS["train"]  ->  ("\\n\\ntotal = 0\\nfor price in prices:\\n    total =+ price", ...)
"""

from __future__ import annotations

from fmtharness.generators.ownership import BySplit, by_split

CODE = r"""
total = 0
for price in prices:
    total =+ price

def greet(name="you"):
    print("Hello, " + name)

const half = (n) => n / 2;
console.log(half("8"));

while True:
    answer = input("Again? ")
    if answer == "no":
        break

SELECT city, COUNT(*) FROM shops GROUP BY city;

int area(int w, int h) {
    return w * h;
}

let seen = new Set();
words.forEach((w) => seen.add(w.toLowerCase()));

def is_even(n):
    return n % 2 == 1

grep -c "error" server.log | sort

.box { display: flex; gap: 1rem; }

fn double(x: i32) -> i32 {
    x * 2
}

try:
    age = int(text)
except ValueError:
    age = None

<ul>
  <li>tea</li>
  <li>milk
</ul>

public static int max(int a, int b) {
    return a > b ? a : b;
}

for f in *.txt; do
  mv "$f" "old-$f"
done

squares = [n * n for n in range(5)]
print(squares[5])

if (lamp = true) {
    switchOff();
}

def last(items):
    return items[len(items)]

puts [3, 1, 2].sort.reverse.inspect

UPDATE members SET paid = 1;

import random
print(random.choice("abc"))

var x = 1;
{
  var x = 2;
}
console.log(x);

char name[4] = "Anna";

git add .
git commit -m "try again"

def add(item, basket=[]):
    basket.append(item)
    return basket

x = 0.1 + 0.2
print(x == 0.3)

<button onclick="save()">Save</button>

SELECT * FROM guests WHERE arrived = NULL;

package main

func sum(n int) int { return n * (n + 1) / 2 }

docker run -p 80:80 web
"""
SNIPPETS: BySplit = by_split(f"\n\n{each}" for each in CODE.strip().split("\n\n"))
