"""The tokenizer and the splitter: what other tools get wrong, and what a text is made of."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calldrop_migrate.core.cql import (
    CqlError,
    Kind,
    Token,
    bind_markers,
    literal,
    quote,
    scan,
    split,
    tokenize,
)

INSERT = "INSERT INTO t (k, v) VALUES (1, {})"

# Strings that other migration tools split, swallow or change: each was tried with six of them.
HOSTILE_VALUES = {
    "a semicolon": ("'a;b'", "a;b"),
    "two dashes": ("'a -- b'", "a -- b"),
    "two slashes": ("'http://x'", "http://x"),
    "a comment": ("'a /* b */ c'", "a /* b */ c"),
    "a doubled quote": ("'it''s'", "it's"),
    "not ASCII": ("'žluťoučký 電話 📞'", "žluťoučký 電話 📞"),
    "a backslash": (r"'back\slash'", r"back\slash"),
    "a backslash at the end": ("'tail\\'", "tail\\"),
    "dollars and a semicolon": ("$$d;e$$", "d;e"),
    "dollars and a quote": ("$$it's; ok$$", "it's; ok"),
    "three dashes": ("'a---b'", "a---b"),
    "a newline": ("'a\r\nb'", "a\r\nb"),
    "nothing": ("''", ""),
    "a quote alone": ("''''", "'"),
}


@pytest.mark.parametrize(("written", "meant"), HOSTILE_VALUES.values(), ids=HOSTILE_VALUES)
def test_a_string_is_never_split_nor_changed(written: str, meant: str) -> None:
    first, second = INSERT.format(written), INSERT.format("'second'")
    statements = split(f"{first};\n{second};")
    assert [s.text for s in statements] == [first, second]
    assert [t.value for t in statements[0].tokens if t.kind is Kind.STRING] == [meant]


@pytest.mark.parametrize("comment", ["-- it's; x\n", "// it's; x\n", "/* ; */", "/**/", '-- "\n'])
def test_a_comment_hides_nothing_that_follows(comment: str) -> None:
    one, two = INSERT.format("'1'"), INSERT.format("'2'")
    for text in (
        f"{comment}{one};{comment}{two};",
        f"{one};{two}; {comment}",
        f"{one} {comment}; {two} {comment.strip()}",
    ):
        assert [s.text for s in split(text)] == [one, two]


def test_a_comment_inside_a_statement_stays() -> None:
    text = "CREATE TABLE t ( -- the key\n k int /* ; */ PRIMARY KEY)"
    assert [s.text for s in split(text + " -- done")] == [text]


def test_comments_do_not_nest() -> None:
    assert [s.text for s in split("/* /* */ a; b")] == ["a", "b"]
    assert [s.text for s in split("a /*/ ; */ b")] == ["a /*/ ; */ b"]


@pytest.mark.parametrize("kind", ["", "UNLOGGED ", "counter "])
def test_a_batch_is_one_statement(kind: str) -> None:
    batch = f"BEGIN {kind}BATCH\n {INSERT.format(1)};\n -- ;\n {INSERT.format(2)};\nAPPLY BATCH"
    assert [s.text for s in split(f"a;{batch};b;{batch}")] == ["a", batch, "b", batch]
    assert split(batch)[0].words(3)[:1] == ("begin",)


def test_the_words_of_a_batch_elsewhere_mean_nothing() -> None:
    text = "INSERT INTO \"begin\" (k) VALUES ('BEGIN BATCH'); begin; batch; x"
    assert len(split(text)) == 4


@pytest.mark.parametrize(
    "text", ["", " \r\n\t", "-- only\n/* comments */ // here", ";;\n;", "\ufeff"]
)
def test_no_statement(text: str) -> None:
    assert split(text) == []


def test_newlines_and_byte_order_mark() -> None:
    for newline in ("\n", "\r\n", "\r"):
        text = "\ufeff" + newline.join(["-- one", "USE a;", "", "  USE b -- x", "// y", ";USE c"])
        statements = split(text, "f.cql")
        assert [s.text for s in statements] == ["USE a", "USE b", "USE c"]
        assert [str(s.place) for s in statements] == ["f.cql:2:1", "f.cql:4:3", "f.cql:6:2"]
    assert str(split("\ufeffUSE a", "f.cql")[0].place) == "f.cql:1:1"


def test_columns_count_characters() -> None:
    assert [t.column for t in tokenize("'電話📞' x")] == [1, 7]


def test_words_for_classification() -> None:
    (statement,) = split('Create TABLE "Calls" (k int)')
    assert statement.words(2) == ("create", "table")
    assert statement.words(3) == ("create", "table")
    assert statement.words(5) == ("create", "table", "k")


KINDS = [
    ("Call_Records2", Kind.WORD, "call_records2"),
    ('"Call ""A"""', Kind.QUOTED, 'Call "A"'),
    ("$$a$b''$$", Kind.STRING, "a$b''"),
    ("123e4567-e89b-12d3-a456-426614174000", Kind.NUMBER, None),
    ("deadbeef-e89b-12d3-a456-426614174000", Kind.NUMBER, None),
    ("0xCAFE", Kind.NUMBER, None),
    ("0x", Kind.NUMBER, None),
    ("1h30m", Kind.NUMBER, None),
    ("-2mo10d12h500us", Kind.NUMBER, None),
    ("5µs", Kind.NUMBER, None),
    ("P1Y2M3DT4H5M6S", Kind.NUMBER, None),
    ("PT5M", Kind.NUMBER, None),
    ("P0001-02-03T04:05:06", Kind.NUMBER, None),
    ("P2", Kind.WORD, "p2"),
    ("-12", Kind.NUMBER, None),
    ("1.5", Kind.NUMBER, None),
    ("-1.5e-10", Kind.NUMBER, None),
    ("1E5", Kind.NUMBER, None),
    ("<=", Kind.SYMBOL, None),
    ("!=", Kind.SYMBOL, None),
    ("+=", Kind.SYMBOL, None),
    ("?", Kind.SYMBOL, None),
]


@pytest.mark.parametrize(("text", "kind", "value"), KINDS)
def test_one_token(text: str, kind: Kind, value: str | None) -> None:
    assert tokenize(text) == [Token(kind, text, value or text, 0, len(text), 1, 1)]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a>=1", ["a", ">=", "1"]),
        ("a=-1", ["a", "=", "-1"]),
        ("c=c-1", ["c", "=", "c", "-1"]),
        ("c += 1", ["c", "+=", "1"]),
        ("m[1..2]", ["m", "[", "1", ".", ".", "2", "]"]),
        ("t.c", ["t", ".", "c"]),
        ("k=:name", ["k", "=", ":", "name"]),
        ("{'a':true}", ["{", "'a'", ":", "true", "}"]),
        ("'a' 'b'", ["'a'", "'b'"]),
        ("1hello", ["1", "hello"]),
        ("-nan", ["-", "nan"]),
        ("(float)a/b%2", ["(", "float", ")", "a", "/", "b", "%", "2"]),
    ],
)
def test_tokens(text: str, parts: list[str]) -> None:
    assert [token.text for token in tokenize(text)] == parts


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("SELECT ? , :name", 2),
        ("UPDATE t USING TTL :ttl SET m = {'a': 1, 'b' : true, \"C\":d}", 1),
        ("INSERT INTO t (k) VALUES ({:k : :v, f(:x): ?})", 4),
        ("SET a = {:e, 'x'} WHERE k=:k LIMIT :l", 3),
        ("INSERT INTO t (k) VALUES ('? :x') -- ?", 0),
    ],
)
def test_bind_markers(text: str, count: int) -> None:
    assert len(list(bind_markers(tokenize(text)))) == count


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a;\n 'it''s; -- b", "f:2:2: this string is never closed"),
        ("a 'b\\' c'", "f:1:9: this string is never closed"),
        ('a "b""', "f:1:3: this quoted name is never closed"),
        ("$$a$ $", "f:1:1: this $$ string is never closed"),
        ("a /* b *", "f:1:3: this comment is never closed"),
        ("a\r\nb\0c", "f:2:2: this character (U+0000, a control character) is not CQL"),
        ("a\u00a0b", "f:1:2: this character (U+00A0, NO-BREAK SPACE) is not CQL"),
        ("\u2018a\u2019", "f:1:1: \u2018 (U+2018, LEFT SINGLE QUOTATION MARK) is not CQL"),
        ("`a`", "f:1:1: ` (U+0060, GRAVE ACCENT) is not CQL"),
        ("_a", "f:1:1: _ (U+005F, LOW LINE) is not CQL"),
        ("# a", "f:1:1: # (U+0023, NUMBER SIGN) is not CQL"),
        ("a ~", "f:1:3: ~ (U+007E, TILDE) is not CQL"),
        ("číslo", "f:1:1: č (U+010D, LATIN SMALL LETTER C WITH CARON) is not CQL"),
        ("x; BEGIN BATCH a; b;", "f:1:4: this BATCH has no end"),
    ],
)
def test_what_is_not_cql(text: str, fault: str) -> None:
    with pytest.raises(CqlError) as caught:
        split(text, "f")
    assert str(caught.value).splitlines()[0] == fault


def test_all_stray_characters_are_found_and_each_is_named_once() -> None:
    tokens, faults = scan("a ~ b ~ ` c 'd", "f")
    assert [t.text for t in tokens] == ["a", "b", "c"]
    assert [str(f.place) for f in faults] == ["f:1:3", "f:1:9", "f:1:13"]


def test_quote_only_when_it_must_be() -> None:
    assert [quote(n) for n in ("calls", "a1_b", "type", "ttl", "uuid")] == [
        "calls",
        "a1_b",
        "type",
        "ttl",
        "uuid",
    ]
    assert quote("Calls") == '"Calls"'
    assert quote('a"b') == '"a""b"'
    for name in ("", "1a", "_a", "a b", "čas", "a-b", "a\n"):
        assert quote(name) == f'"{name}"'
    # Reserved: by both, by ScyllaDB alone, by Cassandra alone, and what is no identifier at all.
    for name in ("table", "cast", "ann", "describe", "execute", "aggregates", "true", "nan"):
        assert quote(name) == f'"{name}"'


def test_literal() -> None:
    assert literal("it's; \\") == "'it''s; \\'"


# --- What is put together comes apart again; what holds for any text is in test_any_text.py

INSIDE = st.text(st.sampled_from("a;'\"$-/*\\ \n\r[é話}{"), max_size=8)
STRINGS = INSIDE.map(literal) | INSIDE.filter(lambda s: "$" not in s).map(lambda s: f"$${s}$$")
NAMES = INSIDE.map(lambda s: '"' + s.replace('"', '""') + '"')
LINE = st.text(st.sampled_from("a;'\"$-/*\\ é"), max_size=8)
COMMENTS = st.one_of(
    LINE.map(lambda s: f"--{s}\n"),
    LINE.map(lambda s: f"//{s}\r\n"),
    INSIDE.filter(lambda s: "*/" not in s and not s.endswith("*")).map(lambda s: f"/*{s}*/"),
)
PLAIN = st.sampled_from(["INSERT", "x1", "=", "(", ")", ",", "-1.5e3", "{", "?", "0xff", "1h30m"])
PIECES = st.one_of(PLAIN, STRINGS, NAMES)
BLANKS = st.sampled_from([" ", "\n", "\r\n", "\t "]) | COMMENTS


@st.composite
def statements(draw: st.DrawFn) -> str:
    """Pieces with blanks and comments between them; begins and ends with a piece."""
    pieces = draw(st.lists(PIECES, min_size=1, max_size=6))
    text = pieces[0]
    for piece in pieces[1:]:
        text += " " + draw(BLANKS) + piece
    return text


@st.composite
def batches(draw: st.DrawFn) -> str:
    begin = draw(
        st.sampled_from(["BEGIN BATCH", "begin unlogged /* ; */ batch", "BEGIN COUNTER BATCH"])
    )
    inner = draw(st.lists(statements(), max_size=3))
    return f"{begin} {' '.join(s + ' ;' for s in inner)} APPLY  BATCH"


@settings(deadline=None, max_examples=60)
@given(st.lists(statements() | batches(), max_size=4), st.data())
def test_statements_joined_come_back_exactly(parts: list[str], data: st.DataObject) -> None:
    text = ""
    for part in parts:
        text += data.draw(BLANKS) + part + " " + data.draw(BLANKS) + ";"
    if data.draw(st.booleans()):
        text = text.removesuffix(";")
    assert [s.text for s in split(text)] == parts


def test_long_texts_take_no_time_to_speak_of() -> None:
    # Each of these made a backtracking expression quadratic or deep at some point.
    for text in (
        "'" + "''" * 50_000,
        "'" + "a" * 200_000,
        '"' + "a" * 200_000,
        "1" * 200_000 + "x",
    ):
        scan(text)
    assert len(split("INSERT INTO t (k) VALUES ('" + "it''s;" * 30_000 + "');")) == 1
