//! JSON with a name or an item a line, for eyes only: numbers, texts and the order of names stay as they were written.

const INDENT: &str = "  ";

/// Lays a JSON text out. What is no JSON comes back laid out somehow, and never panics.
pub(crate) fn pretty(json: &str) -> String {
    let mut page = Page { out: String::with_capacity(json.len() * 2), depth: 0 };
    let mut chars = json.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                page.out.push('"');
                text(&mut chars, &mut page.out);
            }
            '{' | '[' => {
                while chars.next_if(|c| c.is_ascii_whitespace()).is_some() {}
                page.out.push(c);
                match chars.next_if(|next| matches!(next, '}' | ']')) {
                    Some(close) => page.out.push(close),
                    None => page.line(1),
                }
            }
            '}' | ']' => {
                page.line(-1);
                page.out.push(c);
            }
            ',' => {
                page.out.push(',');
                page.line(0);
            }
            ':' => page.out.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => page.out.push(c),
        }
    }
    page.out
}

/// The rest of a string, to its closing quote.
fn text(chars: &mut impl Iterator<Item = char>, out: &mut String) {
    while let Some(c) = chars.next() {
        out.push(c);
        match c {
            '"' => return,
            '\\' => out.extend(chars.next()),
            _ => {}
        }
    }
}

struct Page {
    out: String,
    depth: usize,
}

impl Page {
    fn line(&mut self, deeper: isize) {
        self.depth = self.depth.saturating_add_signed(deeper);
        self.out.push('\n');
        self.out.extend(std::iter::repeat_n(INDENT, self.depth));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_a_line_and_nothing_rewritten() {
        let laid_out = pretty(r#"{"z":[1.50,1e400, {}, [ ]],"a b":"x: {\"y\", [é]"}"#);
        let wanted = "{\n  \"z\": [\n    1.50,\n    1e400,\n    {},\n    []\n  ],\n  \"a b\": \"x: {\\\"y\\\", [é]\"\n}";
        assert_eq!(laid_out, wanted);
        assert_eq!(pretty(" 42 "), "42");
    }

    proptest! {
        #[test]
        fn it_stays_the_same_json_however_it_is_laid_out(texts in prop::collection::btree_map(".{0,8}", prop::collection::vec(".{0,8}", 0..3), 0..4)) {
            let value = serde_json::json!(texts);
            let laid_out = pretty(&value.to_string());
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&laid_out).unwrap(), value);
            prop_assert_eq!(pretty(&laid_out), laid_out);
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            pretty(&text);
        }
    }
}
