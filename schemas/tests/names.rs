//! A name is parsed once and valid ever after.

use headwater_schemas::{Key, MAX_KEY_BYTES, MAX_NAMESPACE_BYTES, Namespace, StreamName};
use proptest::prelude::*;

#[test]
fn namespaces_are_dotted_lower_case_segments() {
    let longest = "n".repeat(MAX_NAMESPACE_BYTES);
    for good in ["a", "0", "payments.prod", "a-b_c.0-", "llm.models", "_schemas", "_x.y", &longest]
    {
        assert_eq!(Namespace::parse(good).unwrap().as_str(), good);
    }
    let too_long = "n".repeat(MAX_NAMESPACE_BYTES + 1);
    for bad in [
        "", ".", "a.", ".a", "a..b", "A", "a.B", "-a", "a.-b", "a._b", "a b", "a/b", "ä", "a\0",
        "a\n", "a,b", &too_long,
    ] {
        assert!(Namespace::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn only_a_first_underscore_makes_a_namespace_the_systems() {
    for (name, system) in [("_schemas", true), ("_x.y", true), ("a_b", false), ("a.b_", false)] {
        assert_eq!(Namespace::parse(name).unwrap().is_system(), system, "{name}");
    }
}

#[test]
fn keys_are_slash_separated_segments_of_utf_8() {
    let longest = "k".repeat(MAX_KEY_BYTES);
    for good in [
        "db/pool",
        "k",
        "a b",
        "A/B",
        "ä/日本/🦀",
        "...",
        "a/..b",
        "%2F",
        "a:b@c",
        "-",
        "~",
        "?x#y",
        &longest,
    ] {
        assert_eq!(Key::parse(good).unwrap().as_str(), good);
    }
    let too_long = "k".repeat(MAX_KEY_BYTES + 1);
    let too_many_bytes = "ä".repeat(MAX_KEY_BYTES / 2 + 1);
    for bad in [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "a/./b",
        "a/../b",
        "./a",
        "a/..",
        "a\nb",
        "\0",
        "a\u{7f}",
        "a\u{85}b",
        &too_long,
        &too_many_bytes,
    ] {
        assert!(Key::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn streams_are_named_like_topics() {
    let longest = "s".repeat(240);
    for good in ["default", "a.b-c_d", "0", &longest] {
        assert_eq!(StreamName::parse(good).unwrap().as_str(), good);
    }
    let too_long = "s".repeat(241);
    for bad in ["", ".", "-a", "_a", "A", "a b", "a/b", "ä", &too_long] {
        assert!(StreamName::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_refusal_shows_the_name_and_what_to_change() {
    let error = Namespace::parse("Payments").unwrap_err().to_string();
    assert!(error.contains("Payments") && error.contains("a-z"), "{error}");
    let long = Key::parse(&"k".repeat(10_000)).unwrap_err().to_string();
    assert!(long.len() < 200, "a refusal repeats no more than the beginning of a name");
}

proptest! {
    #[test]
    fn parsing_never_panics_and_changes_nothing(text: String) {
        for parsed in [
            Namespace::parse(&text).map(|name| name.to_string()),
            Key::parse(&text).map(|name| name.to_string()),
            StreamName::parse(&text).map(|name| name.to_string()),
        ].into_iter().flatten() {
            prop_assert_eq!(&parsed, &text);
        }
    }

    #[test]
    fn names_order_as_their_bytes_do(a in "[a-z.]{1,6}", b in "[a-z.]{1,6}") {
        if let (Ok(x), Ok(y)) = (Key::parse(&a), Key::parse(&b)) {
            prop_assert_eq!(x.cmp(&y), a.as_bytes().cmp(b.as_bytes()));
        }
    }

    #[test]
    fn names_pass_through_json(key in "[a-z/]{1,9}") {
        let json = serde_json::to_string(&key).unwrap();
        let parsed = serde_json::from_str::<Key>(&json);
        prop_assert_eq!(parsed.is_ok(), Key::parse(&key).is_ok());
        if let Ok(parsed) = parsed {
            prop_assert_eq!(serde_json::to_string(&parsed).unwrap(), json);
        }
    }
}
