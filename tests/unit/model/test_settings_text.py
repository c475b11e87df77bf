"""Values out of a YAML text: variables, lines, and complaints that never give a secret away."""

import pytest

from streamforge_core.errors import InvalidSettings
from streamforge_core.model.settings_text import Section, Value, compose, is_secret


def section(text: str, **environment: str) -> Section:
    return compose(text, environment, name="x.yaml")


def value(text: str, **environment: str) -> Value:
    """Return the value of the key `key` in a text."""
    return section(text, **environment)["key"]


def refusal(text: str, **environment: str) -> InvalidSettings:
    with pytest.raises(InvalidSettings) as error:
        value(text, **environment).text()
    return error.value


# --- Variables ---


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("${NAME}", "set"),
        ("a-${NAME}-b", "a-set-b"),
        ("${NAME}/${NAME}", "set/set"),
        ("${NAME:-default}", "set"),
        ("${OTHER:-default}", "default"),
        ("${EMPTY:-default}", "default"),
        ("'${OTHER:-two words}'", "two words"),
        ("'${OTHER:-}x'", "x"),
        ("$$ and $${NAME}", "$ and ${NAME}"),
        ("5$ a$b", "5$ a$b"),
        ("  plain  ", "plain"),
    ],
)
def test_variables_are_replaced(written: str, read: str) -> None:
    assert value(f"key: {written}", NAME="set", EMPTY="").text() == read


def test_what_a_variable_holds_is_not_read_again() -> None:
    assert value("key: ${NAME}", NAME="${OTHER} $$").text() == "${OTHER} $$"


def test_a_variable_that_is_not_set_is_an_error() -> None:
    error = refusal("other: 1\nkey: a/${NAME}")

    assert (error.key, error.line) == ("key", 2)
    assert str(error) == (
        "x.yaml, line 2: key needs the environment variable NAME. Set it, or write "
        "${NAME:-default}."
    )


@pytest.mark.parametrize("written", ["'${'", "'${NAME'", "'${1A}'", "'${NAME-x}'"])
def test_a_variable_without_its_end_is_an_error(written: str) -> None:
    assert "Write ${NAME}, ${NAME:-default} or $$ for a $" in str(refusal(f"key: {written}"))


@pytest.mark.parametrize("written", ["''", "'  '", "${EMPTY}"])
def test_a_value_that_turns_out_empty_is_an_error(written: str) -> None:
    assert str(refusal(f"key: {written}", EMPTY="")).endswith("which is empty.")


@pytest.mark.parametrize("written", ["", "~", "null"])
def test_nothing_behind_a_key_is_an_error(written: str) -> None:
    assert str(refusal(f"key: {written}")) == "x.yaml, line 1: key is empty."


# --- Secrets ---


@pytest.mark.parametrize("key", ["password", "PASSWD", "url", "api_key", "token", "secret", "dsn"])
def test_keys_of_secrets_are_known(key: str) -> None:
    assert is_secret(key)
    assert is_secret(f"emitters[0].{key}")


@pytest.mark.parametrize("key", ["host", "file_path", "symbols", "timeframe", "store"])
def test_other_keys_are_shown(key: str) -> None:
    assert not is_secret(key)


@pytest.mark.parametrize("read", ["day", "flag", "name", "symbol", "timeframe"])
def test_a_complaint_never_tells_what_a_variable_held(read: str) -> None:
    with pytest.raises(InvalidSettings) as error:
        getattr(value("key: ${NAME}", NAME="hunter2, hunter2"), read)()

    assert "hunter2" not in str(error.value)
    assert "'${NAME}'" in str(error.value)


@pytest.mark.parametrize("read", ["day", "flag", "symbol", "timeframe", "entries", "section"])
def test_a_complaint_about_a_secret_never_shows_it(read: str) -> None:
    with pytest.raises(InvalidSettings) as error:
        getattr(section("password: hunter2 hunter2")["password"], read)()

    assert "hunter2" not in str(error.value)
    assert "***" in str(error.value)


@pytest.mark.parametrize(
    "text", ["password: *hunter2", "password: hunter2: x", 'password: "hunter2', "[hunter2: {"]
)
def test_text_that_is_not_yaml_is_not_quoted(text: str) -> None:
    with pytest.raises(InvalidSettings, match="the file is not YAML") as error:
        section(text)

    assert "hunter2" not in str(error.value)


# --- Text that is not what it should be ---


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("a: 1\nb: [1,\nc: 2", 3, "is not YAML"),
        ("a: 1\n\tb: 2", 2, "is not YAML"),
        ("a: 1\n---\nb: 2", 2, "is not YAML: found another document."),
        ("a: 1\nb: *x", 2, r"a value that begins with \* must be quoted"),
        ("a: 1\nb: \x07", 2, "is not text: special characters are not allowed"),
        ("", 1, "declares nothing"),
        ("# only a comment\n", 1, "declares nothing"),
        ("just words", 1, "is 'just words', where keys and values belong"),
        ("- a\n- b", 1, "is a list, where keys and values belong"),
    ],
)
def test_a_text_that_declares_nothing_names_its_line(text: str, line: int, says: str) -> None:
    with pytest.raises(
        InvalidSettings, match=rf"^x\.yaml, line {line}: the file .*{says}"
    ) as error:
        section(text)

    assert (error.value.key, error.value.line) == ("", line)


def test_a_key_stands_once() -> None:
    with pytest.raises(InvalidSettings, match="key stands twice") as error:
        section("key: 1\nother: 2\nkey: 3")

    assert (error.value.key, error.value.line) == ("key", 3)
    assert "first at line 1" in str(error.value)


def test_a_key_that_is_no_text_is_unknown() -> None:
    with pytest.raises(InvalidSettings, match=r"\? is unknown\. Possible: key"):
        section("? [a, b]\n: 1").only("key")


@pytest.mark.parametrize(("written", "what"), [("[a]", "a list"), ("{a: 1}", "a mapping")])
def test_one_value_belongs_where_one_is_read(written: str, what: str) -> None:
    assert str(refusal(f"key: {written}")).endswith(f"is {what}, where one value belongs.")


def test_a_list_belongs_where_entries_are_read() -> None:
    with pytest.raises(InvalidSettings, match="is a mapping, where a list belongs"):
        value("key: {a: 1}").entries()


def test_entries_and_keys_inside_know_their_place() -> None:
    entry = value("key:\n  - inner:\n      - a\n      - b").entries()[0]

    inner = entry.section()["inner"].entries()[1]

    assert (inner.path, inner.line, inner.text()) == ("key[0].inner[1]", 4, "b")


def test_a_missing_key_is_named_at_its_mapping() -> None:
    entry = value("key:\n\n  - other: 1").entries()[0].section()

    with pytest.raises(InvalidSettings, match=r"key\[0\]\.name is missing") as error:
        entry["name"]

    assert error.value.line == 3


def test_a_missing_key_at_the_top_is_named_too() -> None:
    with pytest.raises(InvalidSettings, match="line 1: key is missing"):
        section("other: 1")["key"]


def test_anchors_work_as_in_any_yaml() -> None:
    top = section("one: &symbols [A, B]\nkey: *symbols")

    assert [entry.text() for entry in top.entries("key")] == ["A", "B"]


def test_what_is_absent_is_no_entries_and_no_flag() -> None:
    top = section("other: 1")

    assert top.entries("key") == []
    assert top.flag("key") is False
    assert "key" not in top


def test_suggestions_prefer_the_minute_to_the_month() -> None:
    with pytest.raises(InvalidSettings, match="Did you mean 1m"):
        value("key: 1mm").choice(["1m", "1M"])
