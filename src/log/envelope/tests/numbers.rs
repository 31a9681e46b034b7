//! Numbers keep their meaning, or are refused: floats, integers beyond 2^53, infinities.

use super::super::{canonical, json};

fn canonical(text: &str) -> Result<String, String> {
    let parsed = json::parse(text.as_bytes(), json::Origin::RECORD, 8).map_err(|error| error.0)?;
    if let Some(problem) = parsed.problems.first() {
        return Err(problem.detail.clone());
    }
    let mut out = Vec::new();
    canonical::write(&parsed.value, &mut out);
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn numbers_have_one_text_each() {
    for (given, written) in [
        ("0", "0"),
        ("-0", "0"),
        ("-0.0", "0"),
        ("1.0", "1"),
        ("1e0", "1"),
        ("10E-1", "1"),
        ("1e21", "1e+21"),
        ("1e20", "100000000000000000000"),
        ("100000000000000000000", "100000000000000000000"),
        ("0.000001", "0.000001"),
        ("1e-7", "1e-7"),
        ("9007199254740992", "9007199254740992"),
        ("9007199254740993", "9007199254740993"),
        ("9223372036854775807", "9223372036854775807"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("333333333.33333329", "333333333.3333333"),
        ("1.7976931348623157e308", "1.7976931348623157e+308"),
        ("5e-324", "5e-324"),
        ("1e-400", "0"),
    ] {
        assert_eq!(canonical(given).as_deref(), Ok(written), "{given}");
        assert_eq!(canonical(written).as_deref(), Ok(written), "{written} is its own text");
    }
}

#[test]
fn numbers_that_nothing_holds_are_refused() {
    for bad in ["9223372036854775808", "18446744073709551615", "-9223372036854775809", "1e400", "-1e309"] {
        assert!(canonical(bad).is_err(), "{bad}");
    }
}

#[test]
fn what_is_not_json_is_refused() {
    for bad in [
        "",
        " ",
        "{",
        "[",
        "[1,]",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "{\"a\" 1}",
        "01",
        "1.",
        ".5",
        "+1",
        "1e",
        "--1",
        "NaN",
        "Infinity",
        "tru",
        "nul",
        "\"a",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\n\"",
        "1 2",
        "{}{}",
        "[1 2]",
        "/**/1",
        "\u{feff}{}",
        "\"\\ud83d\\u00\"",
    ] {
        assert!(json::parse(bad.as_bytes(), json::Origin::RECORD, 8).is_err(), "{bad:?}");
    }
    assert!(json::parse(b"\"\xff\"", json::Origin::RECORD, 8).is_err());
}

#[test]
fn escapes_are_read_and_written_in_their_one_way() {
    let written = canonical(r#""\u0041\/\"\\\b\f\n\r\t\u001f\u007f\u00e9\ud83d\ude00""#).unwrap();
    assert_eq!(written, "\"A/\\\"\\\\\\b\\f\\n\\r\\t\\u001f\u{7f}é😀\"");
    for half in [r#""\ud800""#, r#""\udc00""#, r#""\ud800\n""#, r#""\ud800\u0041""#, r#""\ud800\ud800""#] {
        assert!(canonical(half).unwrap_err().contains("surrogate"), "{half}");
    }
}

#[test]
fn objects_are_sorted_by_utf_16() {
    let written = canonical("{\"\u{fb33}\":1,\"\u{1f600}\":2,\"€\":3,\"1\":4,\"\\r\":5,\"ö\":6}").unwrap();
    assert_eq!(written, "{\"\\r\":5,\"1\":4,\"ö\":6,\"€\":3,\"\u{1f600}\":2,\"\u{fb33}\":1}");
}

#[test]
fn depth_is_bounded_however_deep_the_text_is() {
    let nest = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    assert!(canonical(&nest(8)).is_ok());
    assert!(canonical(&nest(9)).unwrap_err().contains("8 levels"));
    assert!(canonical(&nest(1_000_000)).unwrap_err().contains("8 levels"));
    let objects = format!("{}1{}", "{\"a\":[".repeat(100_000), "]}".repeat(100_000));
    assert!(canonical(&objects).unwrap_err().contains("8 levels"));
    for broken in ["[[[[[[[[[1,]]]]]]]]]", "[[[[[[[[[1}]]]]]]]]", "[[[[[[[[{\"a\":1,2}]]]]]]]]", "[[[[[[[[[1"]
    {
        assert!(json::parse(broken.as_bytes(), json::Origin::RECORD, 8).is_err(), "{broken}");
    }
}
