"""The script of the page, which sorts its tables: run by Node.js, with the few parts of a document that it touches."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import stdc_lab.reporting

SCRIPT = Path(stdc_lab.reporting.__file__).parent / "templates" / "report.js"
SEEN_TO_SORT = "cf0732d2a5df1d5fa856a0ac692c193094a4076fbaf51b428320f62b9dc46913"
"""SHA-256 of the script with which the test below passed. Where there is no Node.js to run it, any other is refused."""
DOCUMENT = """
const cell = (key) => ({ dataset: key === null ? {} : { key } });
const made = (tbody) => {
  const headings = tbody[0].map(() => {
    const attributes = {}, heard = {};
    return {
      getAttribute: (name) => attributes[name] ?? null,
      setAttribute: (name, value) => { attributes[name] = value; },
      removeAttribute: (name) => { delete attributes[name]; },
      querySelector: () => ({ addEventListener: (event, act) => { heard[event] = act; } }),
      press: () => heard.click(),
    };
  });
  const rows = tbody.map((keys) => ({ keys, cells: keys.map(cell) }));
  const body = { rows, append: (...moved) => { body.rows = moved; } };
  return { tHead: { rows: [{ cells: headings }] }, tBodies: [body], headings };
};
const table = made(JSON.parse(process.argv[1]));
globalThis.document = { querySelectorAll: (what) => (what === "table.sortable" ? [table] : []) };
"""
PRESSES = """
const seen = JSON.parse(process.argv[2]).map((column) => {
  table.headings[column].press();
  const marks = table.headings.map((heading) => heading.getAttribute("aria-sort"));
  return [marks, table.tBodies[0].rows.map((row) => row.keys)];
});
console.log(JSON.stringify(seen));
"""


def pressed(rows: list[list[str | None]], columns: list[int]) -> list[tuple[list[str | None], list[list[str | None]]]]:
    """What the headings say and how the rows lie after each press of a column's heading."""
    node = shutil.which("node")
    assert node is not None
    code = DOCUMENT + SCRIPT.read_text(encoding="utf-8") + PRESSES
    done = subprocess.run(
        [node, "-e", code, json.dumps(rows), json.dumps(columns)], capture_output=True, text=True, check=True
    )
    return [(marks, lie) for marks, lie in json.loads(done.stdout)]


def test_the_first_press_sorts_upwards_the_second_downwards_and_what_has_no_value_stays_last() -> None:
    if shutil.which("node") is None:
        assert hashlib.sha256(SCRIPT.read_bytes()).hexdigest() == SEEN_TO_SORT, "run this test where there is Node.js"
        return
    rows = [["10", "b"], ["9", "c"], [None, "a"], ["1e2", "B"]]
    up, down, again, other = pressed(rows, [0, 0, 0, 1])
    assert up == (["ascending", None], [["9", "c"], ["10", "b"], ["1e2", "B"], [None, "a"]]), "numbers, not text"
    assert down == (["descending", None], [["1e2", "B"], ["10", "b"], ["9", "c"], [None, "a"]])
    assert again[0] == ["ascending", None]
    assert again[1] == up[1]
    assert other[0] == [None, "ascending"], "one column is marked at a time"
    assert [row[1] for row in other[1]] == ["a", "b", "B", "c"]
    assert hashlib.sha256(SCRIPT.read_bytes()).hexdigest() == SEEN_TO_SORT, "it sorts well: set SEEN_TO_SORT anew"


def test_equal_keys_keep_their_order() -> None:
    if shutil.which("node") is None:
        assert hashlib.sha256(SCRIPT.read_bytes()).hexdigest() == SEEN_TO_SORT, "run this test where there is Node.js"
        return
    rows = [["1", "x"], ["0", "y"], ["1", "z"]]
    ((_, up), (_, down)) = pressed(rows, [0, 0])
    assert [row[1] for row in up] == ["y", "x", "z"]
    assert [row[1] for row in down] == ["x", "z", "y"]
