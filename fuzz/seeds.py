"""Writes what a fuzz target starts from: the statements and job files of the tests, one a file,
and their words as a dictionary. Called by scripts/fuzz.sh.

usage: seeds.py sql_statement|job_yaml CORPUS_FOLDER DICTIONARY
"""

import collections
import hashlib
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LONGEST = 2_000


def statements():
    """The cases of tests/sql, the corpora of crates/sql, and the Nexmark queries."""
    for path in sorted((ROOT / "tests/sql").glob("*.slt")):
        for case in re.split(r"^=== .*\n", path.read_text(), flags=re.M)[1:]:
            yield case.split("\n---", 1)[0]
    for path in sorted((ROOT / "crates/sql/testdata").glob("*.sql")):
        yield from path.read_text().split("\n\n")
    for path in sorted((ROOT / "bench/nexmark").glob("*.sql")):
        yield path.read_text()


def job_files():
    for folder in ("examples", "docs", "crates/jobfile"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".yaml", ".yml"):
                yield path.read_text()
            elif path.suffix == ".md":
                yield from re.findall(r"^```yaml\n(.*?)^```", path.read_text(), flags=re.M | re.S)


target, corpus, dictionary = sys.argv[1:]
words = collections.Counter()
for text in statements() if target == "sql_statement" else job_files():
    text = text.strip()
    if not text or len(text) > LONGEST:
        continue
    name = hashlib.sha256(text.encode()).hexdigest()[:16]
    (pathlib.Path(corpus) / name).write_text(text)
    words.update(set(re.findall(r"[A-Za-z_][A-Za-z_0-9]{1,30}|<>|<=|>=|\|\||=>", text)))
with open(dictionary, "w") as out:
    for word, times in words.most_common(1_500):
        if times > 1:
            out.write(f'"{word}"\n')
