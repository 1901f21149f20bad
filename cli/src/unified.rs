//! What a change does to a value, as a unified diff.

use std::fmt::Write;

use headwater_api::{EntryBody, is_json, is_text};
use similar::{ChangeTag, TextDiff};

use crate::pretty::pretty;

/// Lines shown around what changed.
const CONTEXT: usize = 3;

/// A value at one side of a change.
#[derive(Debug, Clone)]
pub(crate) struct Side {
    title: String,
    text: String,
}

impl Side {
    /// Nothing: the key is absent.
    pub(crate) fn absent() -> Self {
        Self { title: "(absent)".to_owned(), text: String::new() }
    }

    /// A value of this type; `place` says where and when it stands.
    pub(crate) fn new(place: &str, content_type: &str, value: &[u8]) -> Self {
        let title = format!("{place} ({content_type})");
        let text = std::str::from_utf8(value).ok();
        let text = text.filter(|_| is_json(content_type) || is_text(content_type));
        let text = match text {
            Some(json) if is_json(content_type) => pretty(json),
            Some(text) => text.to_owned(),
            None => format!("({} bytes of {content_type})", value.len()),
        };
        Self { title, text }
    }

    fn of_entry(entry: Option<&EntryBody>, place: &str) -> Self {
        let Some(entry) = entry else { return Self::absent() };
        match entry.bytes() {
            Ok(value) => Self::new(place, &entry.content_type, &value),
            Err(_) => Self { title: place.to_owned(), text: format!("({} bytes)", entry.size) },
        }
    }
}

/// How an entry changes from one to the other.
pub(crate) fn of_entries(
    old: Option<&EntryBody>,
    new: Option<&EntryBody>,
    colours: bool,
) -> String {
    let name = old.or(new).map(|entry| format!("{}/{}", entry.namespace, entry.key));
    let name = name.unwrap_or_default();
    let at = |entry: Option<&EntryBody>| {
        entry.map_or(name.clone(), |entry| format!("{name} at revision {}", entry.mod_revision))
    };
    unified(&Side::of_entry(old, &at(old)), &Side::of_entry(new, &at(new)), colours)
}

/// The two sides, line by line. Where only the type or white space differs, that is said.
pub(crate) fn unified(old: &Side, new: &Side, colours: bool) -> String {
    let paint = Paint { colours };
    let mut out = String::new();
    paint.line(&mut out, Ink::Title, &format!("--- {}", old.title));
    paint.line(&mut out, Ink::Title, &format!("+++ {}", new.title));
    if old.text == new.text {
        paint.line(&mut out, Ink::Place, "(the same text: the type or white space differs)");
        return out;
    }
    let diff = TextDiff::from_lines(&old.text, &new.text);
    for hunk in diff.unified_diff().context_radius(CONTEXT).iter_hunks() {
        paint.line(&mut out, Ink::Place, &hunk.header().to_string());
        for change in hunk.iter_changes() {
            let (sign, ink) = match change.tag() {
                ChangeTag::Equal => (' ', Ink::Plain),
                ChangeTag::Delete => ('-', Ink::Old),
                ChangeTag::Insert => ('+', Ink::New),
            };
            paint.line(&mut out, ink, &format!("{sign}{}", change.value().trim_end_matches('\n')));
        }
    }
    out
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ink {
    Plain,
    Title,
    Place,
    Old,
    New,
}

struct Paint {
    colours: bool,
}

impl Paint {
    /// A line, without what of a value could move a terminal's cursor.
    fn line(&self, out: &mut String, ink: Ink, text: &str) {
        let text = text.replace(|c: char| c.is_control() && c != '\t', " ");
        let code = match ink {
            Ink::Plain => "0",
            Ink::Title => "1",
            Ink::Place => "36",
            Ink::Old => "31",
            Ink::New => "32",
        };
        // Writing to a String cannot fail.
        let _ = if self.colours && ink != Ink::Plain {
            writeln!(out, "\x1b[{code}m{text}\x1b[0m")
        } else {
            writeln!(out, "{text}")
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(value: &str) -> Side {
        Side::new("demo/k", "application/json", value.as_bytes())
    }

    #[test]
    fn json_is_compared_name_by_name() {
        let old = json(r#"{"max":20,"min":1,"name":"pool"}"#);
        let new = json(r#"{"max":40,"min":1,"name":"pool"}"#);
        let told = unified(&old, &new, false);
        let wanted = "--- demo/k (application/json)\n+++ demo/k (application/json)\n@@ -1,5 +1,5 @@\n {\n-  \"max\": 20,\n+  \"max\": 40,\n   \"min\": 1,\n   \"name\": \"pool\"\n }\n";
        assert_eq!(told, wanted);
        assert!(unified(&old, &new, true).contains("\x1b[32m+  \"max\": 40,\x1b[0m"));
    }

    #[test]
    fn what_differs_out_of_sight_is_said() {
        assert!(unified(&json("1"), &json(" 1 "), false).contains("white space differs"));
        let text = Side::new("demo/k", "text/plain", b"1");
        let told = unified(&json("1"), &text, false);
        assert!(told.contains("(application/json)") && told.contains("(text/plain)"), "{told}");
    }

    #[test]
    fn no_value_moves_the_cursor_and_no_bytes_are_printed() {
        let evil = Side::new("k", "text/plain", b"a\x1b[2Jb");
        assert!(!unified(&Side::absent(), &evil, false).contains('\x1b'));
        let binary = Side::new("k", "image/png", b"\0\x01");
        let told = unified(&Side::absent(), &binary, false);
        assert!(told.contains("+(2 bytes of image/png)"), "{told}");
    }
}
